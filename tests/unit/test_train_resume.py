"""Checkpoints: a resumed fit is the unbroken one, bit for bit."""

from __future__ import annotations

import errno
import json
import resource
from pathlib import Path
from typing import Any

import pytest
import torch

from modelyard.models.network import NetworkEstimator
from modelyard.train.errors import CheckpointFailed, CheckpointUnusable, Stopped
from modelyard.train.fit import FitOutcome, fit
from modelyard.train.optimisers import OPTIMISERS
from modelyard.train.schedules import SCHEDULES
from tests.support.fitting import Recorder, digits, job, table

STEPS = 4
"""Batches of an epoch on the table: 240 rows by 64."""


def weights(outcome: FitOutcome) -> dict[str, torch.Tensor]:
    """The fitted network's weights and buffers."""
    assert isinstance(outcome.estimator, NetworkEstimator)
    return outcome.estimator.module.state_dict()


def assert_same(one: FitOutcome, other: FitOutcome) -> None:
    """Both fits came to the same numbers, to the last bit."""
    assert (one.metrics, one.step) == (other.metrics, other.step)
    ours, theirs = weights(one), weights(other)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def interrupted_and_resumed(tmp_path: Path, stop_after: int, **rest: Any) -> FitOutcome:
    """The outcome of a fit that was stopped after so many batches and went on from there."""
    kept = tmp_path / f"kept-{stop_after}"
    scratch = tmp_path / "scratch"
    with pytest.raises(Stopped) as stopped:
        fit(job(scratch=scratch, **rest), Recorder(kept, stop_after=stop_after))
    # Another random state, as a new process would have.
    torch.manual_seed(stop_after)
    resume = kept / f"{stopped.value.epoch:06d}"
    return fit(job(scratch=scratch, resume=resume, **rest), Recorder())


@pytest.mark.parametrize(
    "recipe",
    [
        *({"optimizer": name} for name in OPTIMISERS),
        *({"schedule": name, "optimizer": "sgd"} for name in SCHEDULES),
        {"schedule": {"name": "plateau", "patience": 0, "warmup": 0.3}, "learning_rate": 0.5},
        {"ema": 0.9},
        {"ema": 0.9, "keep": "best"},
        {"accumulate": 3},
        {"precision": "bf16"},
        {"precision": "fp16"},
        {"loss": "bce", "label_smoothing": 0.1, "class_weights": "balanced"},
    ],
    ids=lambda recipe: "-".join(map(str, recipe.values())),
)
def test_resumed_fit_is_the_unbroken_one(recipe: dict[str, Any], tmp_path: Path) -> None:
    """Interrupted in the middle of an epoch and resumed, a fit ends with equal weights.

    With dropout, batch norm, clipping and shuffling, for every optimiser, schedule and precision.
    """
    rest: dict[str, Any] = {
        "snapshot": table(tmp_path / "data"),
        "epochs": 5,
        "train": {
            "dropout": 0.3,
            "clip_norm": 1.0,
            "keep": "last",
            **recipe,
        },
    }
    unbroken = fit(job(scratch=tmp_path / "scratch", **rest), Recorder())

    assert_same(interrupted_and_resumed(tmp_path, 3 * STEPS + 2, **rest), unbroken)


@pytest.mark.parametrize("batches", [STEPS, STEPS + 1, 4 * STEPS - 1])
@pytest.mark.parametrize("every", [1, 3])
def test_any_batch_is_a_place_to_stop(batches: int, every: int, tmp_path: Path) -> None:
    """Wherever it stops, also between two checkpoints, the last finished epoch is saved."""
    rest: dict[str, Any] = {
        "snapshot": table(tmp_path / "data"),
        "epochs": 6,
        "train": {"dropout": 0.2, "checkpoint_every": every},
    }
    unbroken = fit(job(scratch=tmp_path / "scratch", **rest), Recorder())

    assert_same(interrupted_and_resumed(tmp_path, batches, **rest), unbroken)


def test_a_checkpoint_that_nobody_wants_is_remembered_for_a_stop(tmp_path: Path) -> None:
    """Of a store that is busy: the last finished epoch is saved all the same, and the last of
    all."""
    rest: dict[str, Any] = {"snapshot": table(tmp_path / "data"), "epochs": 4}
    report, stopped = Recorder(wants=False), Recorder(tmp_path / "kept", 2 * STEPS + 1, wants=False)
    unbroken = fit(job(scratch=tmp_path / "scratch", **rest), report)
    with pytest.raises(Stopped) as error:
        fit(job(scratch=tmp_path / "scratch", **rest), stopped)
    resume = tmp_path / "kept" / "000002"

    assert (report.checkpoints, stopped.checkpoints, error.value.epoch) == ([4], [2], 2)
    assert_same(fit(job(scratch=tmp_path / "scratch", resume=resume, **rest), Recorder()), unbroken)


def test_best_epoch_before_the_stop_survives_it(tmp_path: Path) -> None:
    """The best weights, early stopping's patience and the history travel with the checkpoint."""
    rest: dict[str, Any] = {
        "snapshot": table(tmp_path / "data"),
        "epochs": 30,
        "objective": {"metric": "loss", "goal": "minimize"},
        "train": {
            "learning_rate": 0.2,
            "schedule": "constant",
            "early_stopping": {"patience": 6},
        },
    }
    report = Recorder()
    unbroken = fit(job(scratch=tmp_path / "scratch", **rest), report)
    assert unbroken.step is not None
    ended = max(report.curve)
    assert ended == unbroken.step + 6 < 30

    assert_same(interrupted_and_resumed(tmp_path, (ended - 2) * STEPS + 1, **rest), unbroken)


@pytest.mark.parametrize(
    "recipe",
    [
        {},
        {"augment": {"flip": True, "crop": 1, "cutout": 2, "mixup": 0.4}},
        {"channels_last": True, "optimizer": "sgd", "ema": 0.5},
    ],
    ids=["plain", "augmented", "channels-last"],
)
def test_cnn_resumes_too(recipe: dict[str, Any], tmp_path: Path) -> None:
    """Convolutions are no exception, nor is what is done at random to images."""
    rest: dict[str, Any] = {
        "snapshot": digits(tmp_path / "data", rows=200),
        "family": "cnn",
        "epochs": 3,
        "train": {"dropout": 0.2, **recipe},
        "parameters": {"channels": 4, "hidden": 16},
    }
    unbroken = fit(job(scratch=tmp_path / "scratch", **rest), Recorder())

    assert_same(interrupted_and_resumed(tmp_path, 3, **rest), unbroken)


def test_stop_before_the_first_epoch_saves_nothing(tmp_path: Path) -> None:
    """Without a finished epoch there is nothing to go on from, and that is said."""
    report = Recorder(tmp_path / "kept", stop_after=1)

    with pytest.raises(Stopped, match="no epoch was finished") as stopped:
        fit(job(table(tmp_path / "data"), tmp_path / "scratch"), report)

    assert (stopped.value.epoch, report.checkpoints) == (0, [])


def test_stop_is_heeded_within_a_batch(tmp_path: Path) -> None:
    """No further batch runs once the reporter says stop."""
    report = Recorder(tmp_path / "kept", stop_after=STEPS + 1)

    with pytest.raises(Stopped):
        fit(job(table(tmp_path / "data"), tmp_path / "scratch", epochs=50), report)

    assert report.asked == STEPS + 2


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 4},
        {"epochs": 4},
        {"parameters": {"hidden": 8}},
        {"train": {"learning_rate": 0.5}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_checkpoint_of_another_fit_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    """A checkpoint goes with one seed, length, model and recipe; else it says what differs."""
    snapshot = table(tmp_path / "data")
    fit(job(snapshot, tmp_path / "scratch"), Recorder(tmp_path / "kept"))
    resume = tmp_path / "kept" / "000002"

    with pytest.raises(CheckpointUnusable, match=f"its {next(iter(change))} is"):
        fit(job(snapshot, tmp_path / "scratch", resume=resume, **change), Recorder())


@pytest.mark.parametrize("name", ["state.json", "tensors.safetensors"])
@pytest.mark.parametrize("damage", ["missing", "short", "pickled"])
def test_damaged_checkpoint_is_refused(name: str, damage: str, tmp_path: Path) -> None:
    """A file that is missing, cut short or a pickle is refused by the folder's name."""
    snapshot = table(tmp_path / "data")
    fit(job(snapshot, tmp_path / "scratch"), Recorder(tmp_path / "kept"))
    resume = tmp_path / "kept" / "000002"
    file = resume / name
    if damage == "missing":
        file.unlink()
    elif damage == "short":
        file.write_bytes(file.read_bytes()[:20])
    else:
        torch.save({"a": torch.zeros(1)}, file)

    with pytest.raises(CheckpointUnusable, match=str(resume)):
        fit(job(snapshot, tmp_path / "scratch", resume=resume), Recorder())


def test_checkpoint_holds_no_pickle(tmp_path: Path) -> None:
    """A checkpoint is JSON and safetensors, nothing else."""
    fit(job(table(tmp_path / "data"), tmp_path / "scratch"), Recorder(tmp_path / "kept"))
    folder = tmp_path / "kept" / "000003"

    assert {file.suffix for file in folder.iterdir()} == {".json", ".safetensors"}
    assert json.loads((folder / "state.json").read_text())["epoch"] == 3


def test_full_disk_keeps_the_checkpoint_before(tmp_path: Path) -> None:
    """A checkpoint that can't be kept ends the fit by its path; the one before stays usable."""

    class Full(Recorder):
        """A reporter whose disk is full from the third epoch on."""

        def checkpoint(self, epoch: int, folder: Path) -> None:
            """Refuse the third."""
            if epoch == 3:
                raise OSError(errno.ENOSPC, "No space left on device")
            super().checkpoint(epoch, folder)

    rest: dict[str, Any] = {"snapshot": table(tmp_path / "data"), "epochs": 4}
    unbroken = fit(job(scratch=tmp_path / "scratch", **rest), Recorder())

    with pytest.raises(CheckpointFailed, match=r"epoch 3 .*scratch/000003: No space left"):
        fit(job(scratch=tmp_path / "scratch", **rest), Full(tmp_path / "kept"))
    resumed = fit(
        job(scratch=tmp_path / "scratch", resume=tmp_path / "kept" / "000002", **rest), Recorder()
    )

    assert list((tmp_path / "scratch").iterdir()) == []
    assert_same(resumed, unbroken)


def test_file_that_cannot_be_written_whole_leaves_nothing(tmp_path: Path) -> None:
    """A checkpoint that breaks off in the middle of a file is cleared away and named."""
    work = job(table(tmp_path / "data"), tmp_path / "scratch")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(CheckpointFailed, match="scratch/000001"):
            fit(work, Recorder())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert list((tmp_path / "scratch").iterdir()) == []


def test_unwritable_scratch_is_named(tmp_path: Path) -> None:
    """A scratch folder that can't be written is said by its path."""
    (tmp_path / "scratch").write_text("a file where the folder should be")

    with pytest.raises(CheckpointFailed, match=str(tmp_path / "scratch")):
        fit(job(table(tmp_path / "data"), tmp_path / "scratch"), Recorder())
