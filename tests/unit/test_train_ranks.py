"""Several processes that fit one model: together they are one process with the larger batch."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed

from modelyard.data.snapshot import open_snapshot
from modelyard.models.network import NetworkEstimator
from modelyard.train.errors import PeerLost, Stopped
from modelyard.train.fit import FitJob, FitOutcome, fit
from modelyard.train.folds import fit_folds
from modelyard.train.ranks import ALONE, Ranks
from modelyard.train.tensors import batch_sizes
from tests.support.fitting import Recorder, job, table

WORLD = 2
DEADLINE = 300.0
RECIPE: dict[str, Any] = {
    "schedule": {"name": "plateau", "patience": 0},
    "optimizer": "sgd",
    "learning_rate": 0.1,
    "clip_norm": 1.0,
}
STEPS = 4
"""Batches of an epoch on the table: 240 rows by 64, the last one of 48."""


def a_job(folder: Path, batch_size: int, **train: Any) -> FitJob:
    """The fit of a small table, without layers that see a batch as a whole."""
    data = {"source": "test", "repeats": train.pop("repeats", 1)}
    return job(
        open_snapshot(folder / "snapshot"),
        folder / f"scratch-{os.getpid()}",
        parameters={"hidden": 16, "norm": "none"},
        data=data,
        train={**RECIPE, **train, "batch_size": batch_size},
    )


def weights(outcome: FitOutcome) -> dict[str, torch.Tensor]:
    """The fitted network's."""
    assert isinstance(outcome.estimator, NetworkEstimator)
    return outcome.estimator.module.state_dict()


@contextmanager
def group(folder: Path, name: str, rank: int) -> Iterator[Ranks]:
    """A process group that meets in a file."""
    distributed.init_process_group(
        "gloo",
        init_method=(folder / name).as_uri(),
        rank=rank,
        world_size=WORLD,
        timeout=timedelta(seconds=DEADLINE),
    )
    try:
        yield Ranks(rank=rank, world=WORLD)
    finally:
        distributed.destroy_process_group()


def fitted(folder: Path, name: str, rank: int, recorder: Recorder, **train: Any) -> FitOutcome:
    """The fit of one rank."""
    resume = train.pop("resume", None)
    with group(folder, name, rank) as ranks:
        what = vars(a_job(folder, 32, **train)) | {"ranks": ranks, "resume": resume}
        return fit(FitJob(**what), recorder)


def one_rank(folder: Path, rank: int) -> None:
    """All that the tests want to see of a rank, left in files."""
    together = fitted(folder, "together", rank, Recorder())
    unbroken = fitted(folder, "unbroken", rank, Recorder(), dropout=0.3)
    lost = None
    kept = folder / "kept"
    # Rank 0 is stopped in the second epoch; so the other one loses its peer.
    recorder = Recorder(kept, stop_after=STEPS + 2) if rank == 0 else Recorder()
    try:
        fitted(folder, "stopped", rank, recorder, dropout=0.3)
    except Stopped as error:
        lost = (type(error).__name__, error.epoch)
    torch.manual_seed(99)
    resumed = fitted(folder, "resumed", rank, Recorder(), dropout=0.3, resume=kept / "000001")
    with group(folder, "repeated", rank) as ranks:
        job = a_job(folder, 32, repeats=2)
        repeated = fit_folds(FitJob(**vars(job) | {"ranks": ranks}), Recorder())
    said = {
        "repeated": repeated.mean,
        "metrics": {
            "together": together.metrics,
            "unbroken": unbroken.metrics,
            "resumed": resumed.metrics,
        },
        "lost": lost,
    }
    (folder / f"said-{rank}.json").write_text(json.dumps(said))
    torch.save(
        {"together": weights(together), "unbroken": weights(unbroken), "resumed": weights(resumed)},
        folder / f"weights-{rank}.pt",
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where two ranks have left what they came to."""
    folder = tmp_path_factory.mktemp("ranks")
    table(folder / "snapshot")
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=one_rank, args=(folder, rank)) for rank in range(WORLD)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(DEADLINE)
        process.kill()
    assert [process.exitcode for process in processes] == [0] * WORLD
    return folder


def said(folder: Path, rank: int) -> dict[str, Any]:
    """What a rank was told and came to."""
    found: dict[str, Any] = json.loads((folder / f"said-{rank}.json").read_text())
    return found


def kept(folder: Path, rank: int, name: str) -> dict[str, torch.Tensor]:
    """A rank's weights after a fit."""
    found: dict[str, torch.Tensor] = torch.load(folder / f"weights-{rank}.pt")[name]
    return found


def test_repeats_are_fitted_together_too(folder: Path) -> None:
    """Each rank takes part in every fit of a trial, and they come to what one process does."""
    alone = fit_folds(a_job(folder, 64, repeats=2), Recorder())

    assert said(folder, 0)["repeated"] == said(folder, 1)["repeated"]
    assert said(folder, 0)["repeated"] == pytest.approx(alone.mean, rel=1e-3)


def test_two_ranks_are_one_process_with_the_doubled_batch(folder: Path) -> None:
    """Weights and metrics agree but for the order of sums, the uneven last batch included."""
    alone = fit(a_job(folder, 64), Recorder())

    for name, weight in weights(alone).items():
        torch.testing.assert_close(kept(folder, 0, "together")[name], weight, rtol=1e-4, atol=1e-6)
    assert said(folder, 0)["metrics"]["together"] == pytest.approx(alone.metrics, rel=1e-4)


def test_all_ranks_come_to_the_same_network(folder: Path) -> None:
    """To the last bit; each is told what rank 0 measured."""
    for fit_ in ("together", "unbroken", "resumed"):
        ours, theirs = kept(folder, 0, fit_), kept(folder, 1, fit_)
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert said(folder, 0)["metrics"] == said(folder, 1)["metrics"]


def test_a_stop_of_rank_0_ends_the_other_and_the_resumed_fit_is_the_unbroken_one(
    folder: Path,
) -> None:
    """With each rank's own random numbers, which rank 0's checkpoint holds."""
    assert said(folder, 0)["lost"] == [Stopped.__name__, 1]
    assert said(folder, 1)["lost"] == [PeerLost.__name__, 1]
    unbroken, resumed = kept(folder, 0, "unbroken"), kept(folder, 0, "resumed")
    assert all(torch.equal(unbroken[name], resumed[name]) for name in unbroken)


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
