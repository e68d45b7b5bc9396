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

from bench import fits
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


def measure(turns: int = TURNS) -> Taken:
    """Seconds of each fit by its name."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        snapshot = fits.prepared(fits.DATA, fits.SEED, folder)
        data = digits(snapshot)
        by_hand(data)  # what is done once in a process
        epoch_seconds = by_hand(data).wall / EPOCHS
        keys = [
            LaunchKey(sweep="training", task=str(number), number=1)
            for number in range(TELLING * (turns + 1))
        ]
        with serving(folder / "home", keys) as server, slow_bucket(epoch_seconds) as bucket:
            place = Place(
                snapshot=snapshot, folder=folder, server=server, bucket=bucket, keys=iter(keys)
            )
            return in_turns({**_peers(data, folder), **our_fits(place)}, turns)


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
    taken = measure()
    return [
        _speed(taken),
        _saving(taken),
        _stall(taken),
        _cost(
            taken,
            "live metrics",
            0.01,
            ("told", "untold"),
            "with metrics of every epoch, progress twice a second and the gradient's norm, posted "
            "to a server, against a fit without them; of the training time",
        ),
        _cost(
            taken,
            "health scores",
            0.02,
            ("scored", "unobserved"),
            "a fit whose health is scored against one without; of the training time, which is "
            "less than the trial's",
        ),
        _cost(
            taken,
            "the numbers that a trial keeps",
            0.01,
            ("kept", "scored"),
            "measured, written and stored, against a fit that is only scored; of the training time",
        ),
    ]


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


def _cost(taken: Taken, what: str, most: float, names: tuple[str, str], note: str) -> Row:
    cost = median_ratio(taken[names[0]], taken[names[1]], lambda one: one.cpu) - 1
    return Row(
        what=f"what {what} cost",
        ours=f"{cost:.1%}",
        goal=f"under {most:.0%}",
        met=cost < most,
        note=note,
    )


def _speeds(taken: Taken, reference: str) -> Callable[[str], float]:
    return lambda name: median_ratio(taken[reference], taken[name], lambda one: one.cpu)


def _said(taken: Taken, name: str, reference: str) -> str:
    speed = "1" if name == reference else f"{_speeds(taken, reference)(name):.3f}"
    return f"{speed} ({median_cpu(taken[name]):.2f} s)"
