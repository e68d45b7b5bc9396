"""Several processes that fit one model: together they are one process with the larger batch."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch
from torch import distributed

from modelyard.data.snapshot import open_snapshot
from modelyard.errors import ModelyardError
from modelyard.models.network import NetworkEstimator
from modelyard.models.pretrained import open_pretrained
from modelyard.train.errors import PeerLost, Stopped
from modelyard.train.fit import FitJob, FitOutcome, fit
from modelyard.train.folds import fit_folds
from modelyard.train.ranks import ALONE, Ranks
from modelyard.train.tensors import batch_sizes
from tests.support.fitting import SMALL, Recorder, digits, job, table

WORLD = 2
DEADLINE = 900.0
RECIPE: dict[str, Any] = {
    "schedule": {"name": "plateau", "patience": 0},
    "optimizer": "sgd",
    "learning_rate": 0.1,
    "clip_norm": 1.0,
}
PLAIN = {"hidden": 16, "norm": "none"}
"""No layer that sees a batch as a whole."""
IMAGES = {
    "dropout": 0.3,
    "augment": {"flip": True, "crop": 1, "cutout": 2, "mixup": 0.2},
}
"""What draws random numbers in each step, with batch normalisation."""
STEPS = 3
"""Batches of an epoch of images: 180 rows by 64, the last one of 52."""


def a_job(folder: Path, batch_size: int, **rest: Any) -> FitJob:
    """The fit of a small table; ``tuned`` starts from weights, ``image`` learns pictures."""
    data = {"source": "test", "repeats": rest.pop("repeats", 1)}
    tuned, image = rest.pop("tuned", False), rest.pop("image", False)
    resume = rest.pop("resume", None)
    scratch, source = folder / f"scratch-{os.getpid()}", folder / "packed"
    train = {**RECIPE, **(IMAGES if image else {}), **rest, "batch_size": batch_size}
    if image:
        snapshot = open_snapshot(folder / "images")
        return job(
            snapshot, scratch, family="cnn", parameters=SMALL["cnn"], train=train, resume=resume
        )
    snapshot = open_snapshot(folder / "snapshot")
    if not tuned:
        return job(snapshot, scratch, parameters=PLAIN, data=data, train=train, resume=resume)
    section = {"source": str(source), "freeze": True, "unfreeze_after": 1, "rate_factor": 0.5}
    work = job(snapshot, scratch, model={"family": "mlp", "weights": section}, train=train)
    return replace(work, weights=open_pretrained(source, source.name))


def weights(outcome: FitOutcome) -> dict[str, torch.Tensor]:
    """The fitted network's."""
    assert isinstance(outcome.estimator, NetworkEstimator)
    return outcome.estimator.module.state_dict()


def meet(meeting: Path, rank: int) -> Ranks:
    """Join a process group that meets in a file, and is never taken down: as in a trial."""
    distributed.init_process_group(
        "gloo",
        init_method=meeting.as_uri(),
        rank=rank,
        world_size=WORLD,
        timeout=timedelta(seconds=DEADLINE),
    )
    return Ranks(rank=rank, world=WORLD)


def fitted(folder: Path, ranks: Ranks, recorder: Recorder, **rest: Any) -> FitOutcome:
    """The fit of one rank."""
    return fit(replace(a_job(folder, 32, **rest), ranks=ranks), recorder)


def refused(folder: Path, ranks: Ranks, recorder: Recorder, **rest: Any) -> list[Any]:
    """How a rank's fit ends that can't be finished."""
    try:
        fitted(folder, ranks, recorder, **rest)
    except ModelyardError as error:
        return [type(error).__name__, getattr(error, "epoch", None), str(error)]
    return []


def leave(folder: Path, rank: int, **found: Any) -> NoReturn:
    """Keep in files what a rank came to, and end it; of a fit, its metrics and weights.

    As a trial ends: at once, which parts it from the others. Torch, asked to take a group down,
    may wait for ever: its thread that ends a last reduction wants the interpreter's lock, and who
    holds that waits for the thread.
    """
    for name, value in found.items():
        if isinstance(value, FitOutcome):
            value = {"metrics": value.metrics, "weights": weights(value)}
        torch.save(value, folder / f"{name}-{rank}.pt")
    sys.stdout.flush()
    os._exit(0)


def until_stopped(folder: Path, rank: int) -> None:
    """Fits to their end, and one in whose second epoch rank 0 is stopped: so the other one loses
    its peer."""
    ranks = meet(folder / "first", rank)
    together = fitted(folder, ranks, Recorder())
    tuned = fitted(folder, ranks, Recorder(), tuned=True)
    repeated = fit_folds(replace(a_job(folder, 32, repeats=2), ranks=ranks), Recorder()).mean
    unbroken = fitted(folder, ranks, Recorder(), image=True)
    recorder = Recorder(folder / "kept", stop_after=STEPS + 2) if rank == 0 else Recorder()
    lost = refused(folder, ranks, recorder, image=True)
    leave(
        folder,
        rank,
        together=together,
        tuned=tuned,
        repeated=repeated,
        unbroken=unbroken,
        lost=lost,
    )


def then_resumed(folder: Path, rank: int) -> None:
    """The stopped fit taken to its end, and one that not all ranks resume."""
    ranks = meet(folder / "second", rank)
    newest = folder / "kept" / "000001"
    resumed = fitted(folder, ranks, Recorder(), image=True, resume=newest)
    apart = refused(folder, ranks, Recorder(), image=True, resume=None if rank else newest)
    leave(folder, rank, resumed=resumed, apart=apart)


def compiled(folder: Path, rank: int) -> None:
    """A compiled fit."""
    ranks = meet(folder / "only", rank)
    leave(folder, rank, compiled=fitted(folder, ranks, Recorder(), compile=True))


def run_ranks(target: Callable[[Path, int], None], folder: Path) -> None:
    """A process for each rank, to its end."""
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=target, args=(folder, rank)) for rank in range(WORLD)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(DEADLINE)
        process.kill()
        process.join()
    assert [process.exitcode for process in processes] == [0] * WORLD


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where two ranks have left what they came to."""
    folder = tmp_path_factory.mktemp("ranks")
    table(folder / "snapshot")
    digits(folder / "images", rows=300)
    fit(a_job(folder, 64), Recorder()).pack(folder / "packed")
    run_ranks(until_stopped, folder)
    run_ranks(then_resumed, folder)
    return folder


def kept(folder: Path, rank: int, name: str) -> Any:
    """What a rank came to."""
    return torch.load(folder / f"{name}-{rank}.pt")


def test_repeats_are_fitted_together_too(folder: Path) -> None:
    """Each rank takes part in every fit of a trial, and they come to what one process does."""
    alone = fit_folds(a_job(folder, 64, repeats=2), Recorder())

    assert kept(folder, 0, "repeated") == kept(folder, 1, "repeated")
    assert kept(folder, 0, "repeated") == pytest.approx(alone.mean, rel=1e-3)


@pytest.mark.parametrize("kind", ["together", "tuned"])
def test_two_ranks_are_one_process_with_the_doubled_batch(folder: Path, kind: str) -> None:
    """Weights and metrics agree but for the order of sums, the uneven last batch included, and
    where layers are frozen at first."""
    alone = fit(a_job(folder, 64, tuned=kind == "tuned"), Recorder())

    found = kept(folder, 0, kind)
    for name, weight in weights(alone).items():
        torch.testing.assert_close(found["weights"][name], weight, rtol=1e-4, atol=1e-6)
    assert found["metrics"] == pytest.approx(alone.metrics, rel=1e-4)


def test_all_ranks_come_to_the_same_network(folder: Path) -> None:
    """To the last bit, but for what each one's batch normalisation saw last; each is told what
    rank 0 measured."""
    for fit_ in ("together", "tuned", "unbroken", "resumed"):
        ours, theirs = kept(folder, 0, fit_), kept(folder, 1, fit_)
        learnt = [name for name in ours["weights"] if "running" not in name]
        assert all(torch.equal(ours["weights"][name], theirs["weights"][name]) for name in learnt)
        assert ours["metrics"] == theirs["metrics"]


def test_a_stop_of_rank_0_ends_the_other_and_the_resumed_fit_is_the_unbroken_one(
    folder: Path,
) -> None:
    """With each rank's own random numbers, for dropout and augmentation, which rank 0's checkpoint
    holds; the statistics of batch normalisation are rank 0's."""
    stopped, lost = kept(folder, 0, "lost"), kept(folder, 1, "lost")
    assert stopped[:2] == [Stopped.__name__, 1]
    assert lost[:2] == [PeerLost.__name__, 1]
    assert "epoch 1 is saved" in stopped[2]
    assert "rank 0 says which checkpoint" in lost[2]
    unbroken, resumed = (kept(folder, 0, name)["weights"] for name in ("unbroken", "resumed"))
    assert any("running_var" in name for name in unbroken)
    assert all(torch.equal(unbroken[name], resumed[name]) for name in unbroken)


@pytest.mark.slow
def test_compiled_ranks_learn_as_they_do_without(tmp_path: Path) -> None:
    """Each compiles its own network, and what they learn is the same but for rounding."""
    table(tmp_path / "snapshot")
    run_ranks(compiled, tmp_path)
    alone = fit(a_job(tmp_path, 64), Recorder())

    for rank in range(WORLD):
        assert kept(tmp_path, rank, "compiled")["metrics"] == pytest.approx(alone.metrics, rel=1e-3)


@pytest.mark.parametrize("rank", range(WORLD))
def test_ranks_that_go_on_from_different_epochs_are_refused(folder: Path, rank: int) -> None:
    """By each of them, with the epochs."""
    kind, _, why = kept(folder, rank, "apart")

    assert kind == ModelyardError.__name__
    assert "differ in the epoch that they go on from: 1, 0" in why


def test_every_row_of_a_batch_goes_to_one_rank() -> None:
    """Parts differ by one row at most; alone, a batch is one's own."""
    batch = torch.arange(7)
    parts = [Ranks(rank=rank, world=3).share(batch) for rank in range(3)]

    assert torch.equal(torch.cat(parts), batch)
    assert [len(part) for part in parts] == [3, 2, 2]
    assert ALONE.share(batch) is batch


@pytest.mark.parametrize(
    ("rows", "ranks", "sizes"),
    [(130, 1, [64, 64, 2]), (129, 1, [64, 64]), (131, 2, [128]), (132, 2, [128, 4]), (3, 2, [3])],
)
def test_a_last_batch_has_rows_for_every_rank(rows: int, ranks: int, sizes: list[int]) -> None:
    """Two for each, or it is left out."""
    assert batch_sizes(rows, 64, ranks) == sizes
