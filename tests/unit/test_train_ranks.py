"""Several processes that fit one model: together they are one process with the larger batch."""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

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


def fitted(folder: Path, name: str, rank: int, recorder: Recorder, **rest: Any) -> FitOutcome:
    """The fit of one rank."""
    with group(folder, name, rank) as ranks:
        return fit(replace(a_job(folder, 32, **rest), ranks=ranks), recorder)


def refused(folder: Path, name: str, rank: int, recorder: Recorder, **rest: Any) -> list[Any]:
    """How a rank's fit ends that can't be finished."""
    try:
        fitted(folder, name, rank, recorder, **rest)
    except ModelyardError as error:
        return [type(error).__name__, getattr(error, "epoch", None), str(error)]
    finally:
        gc.collect()  # what is left of the fit holds the connections, and the other rank waits
    return []


def one_rank(folder: Path, rank: int) -> None:
    """All that the tests want to see of a rank, left in files."""
    outcomes = {
        "together": fitted(folder, "together", rank, Recorder()),
        "tuned": fitted(folder, "tuned", rank, Recorder(), tuned=True),
        "unbroken": fitted(folder, "unbroken", rank, Recorder(), image=True),
    }
    # Rank 0 is stopped in the second epoch; so the other one loses its peer.
    recorder = Recorder(folder / "kept", stop_after=STEPS + 2) if rank == 0 else Recorder()
    lost = refused(folder, "stopped", rank, recorder, image=True)
    torch.manual_seed(99)
    newest = folder / "kept" / "000001"
    outcomes["resumed"] = fitted(folder, "resumed", rank, Recorder(), image=True, resume=newest)
    apart = refused(
        folder, "apart", rank, Recorder(), image=True, resume=newest if rank == 0 else None
    )
    with group(folder, "repeated", rank) as ranks:
        repeated = fit_folds(replace(a_job(folder, 32, repeats=2), ranks=ranks), Recorder())
    said = {
        "repeated": repeated.mean,
        "metrics": {name: outcome.metrics for name, outcome in outcomes.items()},
        "lost": lost,
        "apart": apart,
    }
    (folder / f"said-{rank}.json").write_text(json.dumps(said))
    torch.save(
        {name: weights(outcome) for name, outcome in outcomes.items()},
        folder / f"weights-{rank}.pt",
    )


def compiled_rank(folder: Path, rank: int) -> None:
    """A compiled fit's metrics, left in a file."""
    outcome = fitted(folder, "compiled", rank, Recorder(), compile=True)
    (folder / f"compiled-{rank}.json").write_text(json.dumps(outcome.metrics))


def run_ranks(target: Callable[[Path, int], None], folder: Path) -> None:
    """A process for each rank, to its end."""
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=target, args=(folder, rank)) for rank in range(WORLD)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(DEADLINE)
        process.kill()
    assert [process.exitcode for process in processes] == [0] * WORLD


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where two ranks have left what they came to."""
    folder = tmp_path_factory.mktemp("ranks")
    table(folder / "snapshot")
    digits(folder / "images", rows=300)
    fit(a_job(folder, 64), Recorder()).pack(folder / "packed")
    run_ranks(one_rank, folder)
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


@pytest.mark.parametrize("kind", ["together", "tuned"])
def test_two_ranks_are_one_process_with_the_doubled_batch(folder: Path, kind: str) -> None:
    """Weights and metrics agree but for the order of sums, the uneven last batch included, and
    where layers are frozen at first."""
    alone = fit(a_job(folder, 64, tuned=kind == "tuned"), Recorder())

    for name, weight in weights(alone).items():
        torch.testing.assert_close(kept(folder, 0, kind)[name], weight, rtol=1e-4, atol=1e-6)
    assert said(folder, 0)["metrics"][kind] == pytest.approx(alone.metrics, rel=1e-4)


def test_all_ranks_come_to_the_same_network(folder: Path) -> None:
    """To the last bit, but for what each one's batch normalisation saw last; each is told what
    rank 0 measured."""
    for fit_ in ("together", "tuned", "unbroken", "resumed"):
        ours, theirs = kept(folder, 0, fit_), kept(folder, 1, fit_)
        learnt = [name for name in ours if "running" not in name]
        assert all(torch.equal(ours[name], theirs[name]) for name in learnt)
    assert said(folder, 0)["metrics"] == said(folder, 1)["metrics"]


def test_a_stop_of_rank_0_ends_the_other_and_the_resumed_fit_is_the_unbroken_one(
    folder: Path,
) -> None:
    """With each rank's own random numbers, for dropout and augmentation, which rank 0's checkpoint
    holds; the statistics of batch normalisation are rank 0's."""
    assert said(folder, 0)["lost"][:2] == [Stopped.__name__, 1]
    assert said(folder, 1)["lost"][:2] == [PeerLost.__name__, 1]
    assert "epoch 1 is saved" in said(folder, 0)["lost"][2]
    assert "rank 0 says which checkpoint" in said(folder, 1)["lost"][2]
    unbroken, resumed = kept(folder, 0, "unbroken"), kept(folder, 0, "resumed")
    assert any("running_var" in name for name in unbroken)
    assert all(torch.equal(unbroken[name], resumed[name]) for name in unbroken)


@pytest.mark.slow
def test_compiled_ranks_learn_as_they_do_without(tmp_path: Path) -> None:
    """Each compiles its own network, and what they learn is the same but for rounding."""
    table(tmp_path / "snapshot")
    run_ranks(compiled_rank, tmp_path)
    alone = fit(a_job(tmp_path, 64), Recorder())

    for rank in range(WORLD):
        found = json.loads((tmp_path / f"compiled-{rank}.json").read_text())
        assert found == pytest.approx(alone.metrics, rel=1e-3)


@pytest.mark.parametrize("rank", range(WORLD))
def test_ranks_that_go_on_from_different_epochs_are_refused(folder: Path, rank: int) -> None:
    """By each of them, with the epochs."""
    kind, _, why = said(folder, rank)["apart"]

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
