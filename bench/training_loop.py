"""Our training beside a loop by hand, one with a DataLoader, and Lightning; what its parts cost.

All of them train the same network on the same data in turns, see ``bench.fits``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import torch

from bench import costs, fits
from bench.fit_peers import Digits, by_hand, digits
from bench.fits import BATCH, EPOCHS, Seconds, in_turns, median_cpu, median_ratio
from bench.our_fits import TELLING, Place, our_fits
from bench.served import serving
from bench.slow_bucket import slow_bucket
from bench.table import Row
from modelyard.contract import LaunchKey

TURNS = 9
GOAL = 0.98
HAND, LOADER, SAVING, LIGHTNING = "by hand", "DataLoader", "by hand, saving", "Lightning"
WORK = (
    f"the default cnn on scikit-learn's digits, {EPOCHS} epochs of {BATCH}, one thread, "
    f"median of {TURNS} turns"
)

Taken = dict[str, list[Seconds]]


def measure(turns: int = TURNS) -> tuple[Taken, costs.Measured]:
    """Seconds of each fit by its name, and what parts of ours cost."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        snapshot = fits.prepared(fits.DATA, fits.SEED, folder)
        data = digits(snapshot)
        by_hand(data)  # what is done once in a process
        seconds = by_hand(data)
        launches = TELLING * (turns + 1) + costs.LAUNCHES
        keys = [LaunchKey(sweep="training", task=str(n), number=1) for n in range(launches)]
        far = slow_bucket(seconds.wall / EPOCHS)
        with serving(folder / "home", keys) as server, far as bucket:
            place = Place(
                snapshot=snapshot, folder=folder, server=server, bucket=bucket, keys=iter(keys)
            )
            taken = in_turns({**_peers(data, folder), **our_fits(place)}, turns)
            return taken, costs.measure(place, seconds.cpu / EPOCHS, data.steps)


def _peers(data: Digits, folder: Path) -> dict[str, Callable[[], Seconds]]:
    peers: dict[str, Callable[[], Seconds]] = {
        HAND: partial(by_hand, data),
        LOADER: partial(by_hand, data, loader=True),
        SAVING: partial(by_hand, data, saved=folder / "by-hand.pt"),
    }
    if find_spec("lightning") is None:
        return peers
    from bench.lightning_peer import with_lightning

    return {**peers, LIGHTNING: partial(with_lightning, data)}


def rows() -> list[Row]:
    """The figures of this module."""
    taken, parts = measure()
    return [_speed(taken), _saving(taken), _stall(taken), *costs.rows(parts)]


def _speed(taken: Taken) -> Row:
    speed = _speeds(taken, HAND)
    ahead = all(speed("told") > speed(name) for name in (LOADER, LIGHTNING) if name in taken)
    return Row(
        what="speed of the training loop against one by hand",
        ours=_said(taken, "told", HAND),
        goal=f"≥ {GOAL}, and ahead of a DataLoader and of Lightning",
        met=speed("told") >= GOAL and ahead,
        peers=(
            *((name, _said(taken, name, HAND)) for name in (HAND, LOADER)),
            (LIGHTNING, _said(taken, LIGHTNING, HAND) if LIGHTNING in taken else "not installed"),
        ),
        note=f"{WORK}, CPU time; metrics of both splits, best weights kept, no checkpoints. Ours "
        "with its events posted to a server, health and all; Lightning's Trainer with a "
        "DataLoader, without logger, progress bar, summary, sanity check and files",
    )


def _saving(taken: Taken) -> Row:
    ratio = _speeds(taken, SAVING)("saved")
    return Row(
        what="… with a checkpoint after each epoch, against one by hand with `torch.save`",
        ours=_said(taken, "saved", SAVING),
        goal=f"≥ {GOAL}",
        met=ratio >= GOAL,
        peers=(
            (SAVING, _said(taken, SAVING, SAVING)),
            ("by hand without a checkpoint", _said(taken, HAND, SAVING)),
        ),
        note="as a trial runs by default: ours with digests and a manifest, in a folder, from "
        "which it resumes bit for bit; by hand weights, best weights, optimiser and schedule in "
        "one file",
    )


def _stall(taken: Taken) -> Row:
    stall = median_ratio(taken["uploaded"], taken["told"], lambda one: one.wall) - 1
    return Row(
        what="how much longer training takes when each epoch's checkpoint goes to a slow bucket",
        ours=f"{stall:.1%}",
        goal="under 5%",
        met=stall < 0.05,
        note="each upload takes as long as an epoch; wall time to the last step, against the "
        "same fit without checkpoints",
    )


def _speeds(taken: Taken, reference: str) -> Callable[[str], float]:
    return lambda name: median_ratio(taken[reference], taken[name], lambda one: one.cpu)


def _said(taken: Taken, name: str, reference: str) -> str:
    speed = "1" if name == reference else f"{_speeds(taken, reference)(name):.3f}"
    return f"{speed} ({median_cpu(taken[name]):.2f} s)"
