"""Fits of every family: what comes out, what is reported, what is refused."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from modelyard.errors import InputError
from modelyard.evaluate.metrics import confusion
from modelyard.models.families import FAMILIES
from modelyard.train.beat import BEAT_SECONDS, Beat
from modelyard.train.errors import Diverged
from modelyard.train.fit import fit
from modelyard.train.monitor import Monitor
from tests.support.fitting import Recorder, digits, job, table

QUICK: dict[str, dict[str, Any]] = {
    "mlp": {"learning_rate": 0.01},
    "cnn": {"learning_rate": 0.01},
    "random-forest": {"n_estimators": 40},
    "gradient-boosting": {"max_iter": 60},
    "xgboost": {"n_estimators": 60},
    "lightgbm": {"n_estimators": 60},
}
"""Parameters under which each family learns the small sets in a moment."""


@pytest.mark.parametrize("family", [f.name for f in FAMILIES.values() if "table" in f.kinds])
@pytest.mark.parametrize("regression", [False, True], ids=["classes", "numbers"])
def test_every_family_learns_a_table(family: str, regression: bool, tmp_path: Path) -> None:
    """Each family of tables finds what the target depends on, for classes and for numbers."""
    snapshot = table(tmp_path / "data", regression=regression)
    work = job(
        snapshot,
        tmp_path / "scratch",
        family=family,
        epochs=15,
        parameters=QUICK[family],
    )

    found = fit(work, Recorder())

    if regression:
        assert found.metrics["r2"] > 0.8
        assert found.metrics["rmse"] < 0.5 * float(np.std(snapshot.target("validation")))
    else:
        assert found.metrics["accuracy"] > 0.85


@pytest.mark.parametrize("family", ["cnn", "mlp", "random-forest"])
def test_families_of_images_learn_digits(family: str, tmp_path: Path) -> None:
    """Each family of images tells handwritten digits apart after a short fit."""
    work = job(
        digits(tmp_path / "data"),
        tmp_path / "scratch",
        family=family,
        epochs=8,
        parameters=QUICK[family],
    )

    assert fit(work, Recorder()).metrics["accuracy"] > 0.9


@pytest.mark.parametrize("loss", ["mse", "mae", "huber"])
def test_regression_is_in_the_targets_own_unit(loss: str, tmp_path: Path) -> None:
    """Standardising is the model's own affair: predictions and metrics are in the target's unit."""
    snapshot = table(tmp_path / "data", regression=True)
    work = job(
        snapshot,
        tmp_path / "scratch",
        epochs=20,
        train={"learning_rate": 0.01, "loss": loss},
    )

    found = fit(work, Recorder())

    features = found.preprocessor.transform(snapshot.rows("validation"))
    error = found.estimator.predict(features) - snapshot.target("validation")
    assert found.metrics["mae"] == pytest.approx(float(np.abs(error).mean()), rel=1e-6)
    assert found.metrics["mae"] < 40


def test_network_reports_each_epoch(tmp_path: Path) -> None:
    """A network tells its phases, every epoch's metrics on both splits, and each checkpoint."""
    report = Recorder()

    found = fit(job(table(tmp_path / "data"), tmp_path / "scratch", epochs=4), report)

    assert report.phases == [("loading", False), ("training", True)]
    assert list(report.curve) == report.checkpoints == [1, 2, 3, 4]
    assert {"train_loss", "train_accuracy", "validation_loss", "validation_accuracy"} <= set(
        report.curve[1]
    )
    rates = [values["learning_rate"] for values in report.curve.values()]
    assert all(later < earlier for earlier, later in pairwise(rates))
    assert found.step is not None
    assert found.metrics["accuracy"] == report.curve[found.step]["validation_accuracy"]


def test_classical_family_reports_once(tmp_path: Path) -> None:
    """A classical fit is one phase without steps, and one step of metrics."""
    report = Recorder()

    found = fit(
        job(
            table(tmp_path / "data"),
            tmp_path / "scratch",
            family="random-forest",
            parameters={"n_estimators": 10},
        ),
        report,
    )

    assert report.phases == [("loading", False), ("fitting", False)]
    assert list(report.curve) == [1]
    assert report.curve[1] == {f"validation_{k}": v for k, v in found.metrics.items()}
    assert found.step is None
    assert found.parameters["n_estimators"] == 10


@pytest.mark.parametrize("family", ["mlp", "random-forest", "gradient-boosting"])
def test_equal_jobs_give_identical_metrics(family: str, tmp_path: Path) -> None:
    """The same job twice gives the same numbers to the last bit, another seed others."""
    snapshot = table(tmp_path / "data")
    metrics = [
        fit(
            job(
                snapshot,
                tmp_path / "scratch",
                family=family,
                seed=seed,
                parameters=QUICK[family],
                train={"dropout": 0.3},
            ),
            Recorder(),
        ).metrics
        for seed in (1, 1, 2)
    ]

    assert metrics[0] == metrics[1]
    assert family == "gradient-boosting" or metrics[0] != metrics[2]


def test_best_epoch_is_kept_and_the_last_if_asked(tmp_path: Path) -> None:
    """The model is that of the best epoch, or of the last; its metrics are those of that epoch, and
    so is the confusion that it keeps."""
    snapshot = table(tmp_path / "data")
    hot = {"learning_rate": 0.3, "schedule": "constant", "optimizer": "sgd"}
    outcomes = {}
    for keep in ("best", "last"):
        report = Recorder()
        found = fit(
            job(snapshot, tmp_path / "scratch", epochs=6, train={**hot, "keep": keep}), report
        )
        accuracies = [values["validation_accuracy"] for values in report.curve.values()]
        outcomes[keep] = (found.step, found.metrics["accuracy"], accuracies)
        output = found.estimator.predict(found.preprocessor.transform(snapshot.rows("validation")))
        truth = snapshot.target("validation")
        said = (output.argmax(axis=1) == truth).mean()
        assert said == pytest.approx(found.metrics["accuracy"])
        kept = found.observed.kept.numbers.confusion
        assert kept is not None
        assert kept.matrix == tuple(map(tuple, confusion(truth, output).tolist()))

    assert outcomes["best"][1] == max(outcomes["best"][2])
    assert outcomes["last"][:2] == (6, outcomes["last"][2][-1])


@pytest.mark.parametrize("named", ["objective", "gate"])
def test_the_area_is_measured_where_the_file_names_it(named: str, tmp_path: Path) -> None:
    """Sorting all rows once a class is left out of epochs, unless an objective or gate asks."""
    snapshot = table(tmp_path / "data")
    asked = (
        {"objective": {"metric": "auc"}}
        if named == "objective"
        else {"gates": [{"metric": "auc", "at_least": 0.5}]}
    )
    without, with_area = Recorder(), Recorder()

    fit(job(snapshot, tmp_path / "scratch", epochs=1), without)
    outcome = fit(job(snapshot, tmp_path / "scratch", epochs=1, **asked), with_area)

    assert "validation_auc" not in without.curve[1]
    assert with_area.curve[1]["validation_auc"] == outcome.metrics["auc"]


def test_an_objective_that_the_split_says_nothing_of_is_explained() -> None:
    """Rows of one class have no area: that is bad input, and no bug."""
    with pytest.raises(InputError, match="auc can't be measured on the validation split"):
        Monitor(metric="auc").after(1, {"loss": 0.5, "accuracy": 1.0})


def test_early_stopping_ends_the_fit(tmp_path: Path) -> None:
    """A fit that no longer gains by min_delta ends after so many epochs of patience."""
    report = Recorder()
    work = job(
        table(tmp_path / "data"),
        tmp_path / "scratch",
        epochs=50,
        train={"early_stopping": {"patience": 3, "min_delta": 0.9}},
    )

    fit(work, report)

    assert list(report.curve) == [1, 2, 3, 4]


def test_divergence_is_told_with_step_and_rate(tmp_path: Path) -> None:
    """A loss that overflows ends the fit with the step and the learning rate it happened at."""
    work = job(
        table(tmp_path / "data", regression=True),
        tmp_path / "scratch",
        parameters={"norm": "none", "learning_rate": 1e30, "optimizer": "sgd"},
        train={"schedule": "constant"},
    )

    with pytest.raises(Diverged) as caught:
        fit(work, Recorder())

    assert 1 < caught.value.step <= 8
    assert (caught.value.epoch, caught.value.learning_rate) == (1, 1e30)
    assert f"step {caught.value.step}" in str(caught.value)


def test_clipping_bounds_the_gradient(tmp_path: Path) -> None:
    """What diverges without clipping stays finite with it."""
    wild = {"norm": "none", "learning_rate": 30.0, "optimizer": "sgd", "momentum": 0.0}
    snapshot = table(tmp_path / "data", regression=True)

    with pytest.raises(Diverged):
        fit(job(snapshot, tmp_path / "scratch", parameters=wild), Recorder())
    clipped = fit(
        job(snapshot, tmp_path / "scratch", parameters=wild, train={"clip_norm": 1e-4}), Recorder()
    )

    assert np.isfinite(clipped.metrics["rmse"])


@pytest.mark.parametrize(("rows", "batch_size"), [(400, 239), (400, 10_000), (10, 4)])
def test_odd_last_batches_are_borne(rows: int, batch_size: int, tmp_path: Path) -> None:
    """Batch norm bears a last batch of one row and a batch larger than the data."""
    work = job(
        table(tmp_path / "data", rows=rows),
        tmp_path / "scratch",
        epochs=1,
        train={"batch_size": batch_size},
    )

    assert fit(work, Recorder()).step == 1


def test_one_image_a_batch_needs_several_pixels(tmp_path: Path) -> None:
    """Batch norm takes the spread over an image's pixels; one pixel has none, and is refused."""
    sections: dict[str, Any] = {"family": "cnn", "epochs": 1, "train": {"batch_size": 1}}
    image, pixel = (digits(tmp_path / str(side), rows=20, side=side) for side in (4, 1))

    assert fit(job(image, tmp_path / "scratch", **sections), Recorder()).step == 1
    with pytest.raises(InputError, match="a batch of 1 row can't be normalised"):
        fit(job(pixel, tmp_path / "scratch", **sections), Recorder())
    without = job(pixel, tmp_path / "scratch", parameters={"norm": "none"}, **sections)
    assert fit(without, Recorder()).step == 1


@pytest.mark.parametrize(
    ("sections", "parameters", "message"),
    [
        ({}, {"depht": 2}, "depht is neither a parameter of mlp"),
        ({}, {"layers": 0}, "layers: 0 is below 1"),
        ({}, {"learning_rate": -1.0}, "learning_rate"),
        ({"train": {"loss": "mse"}}, {}, "mse can't learn classification; valid are cross_entropy"),
        ({"train": {"device": "cuda"}, "resources": {"gpus": 0}}, {}, "resources.gpus is 0"),
        ({"train": {"augment": {"flip": True}}}, {}, "augment is for images, and these are none"),
        ({"objective": {"metric": "rmse"}}, {}, "rmse can't be computed for classification"),
        ({"train": {"batch_size": 1}}, {}, "a batch of 1 row can't be normalised"),
    ],
)
def test_what_does_not_fit_is_refused(
    sections: dict[str, object], parameters: dict[str, object], message: str, tmp_path: Path
) -> None:
    """A parameter, key or metric that can't be honoured is an error and never ignored."""
    work = job(table(tmp_path / "data"), tmp_path / "scratch", parameters=parameters, **sections)

    with pytest.raises(InputError, match=message):
        fit(work, Recorder())


def test_sampled_values_replace_those_of_the_file(tmp_path: Path) -> None:
    """A sampled name is first a parameter of the family, else a key of train."""
    work = job(
        table(tmp_path / "data"),
        tmp_path / "scratch",
        parameters={"hidden": 8, "learning_rate": 0.5, "schedule": "constant"},
        model={"family": "mlp", "parameters": {"hidden": 16, "layers": 1}},
    )
    report = Recorder()

    found = fit(work, report)

    assert (found.parameters["hidden"], found.parameters["layers"]) == (8, 1)
    assert report.curve[3]["learning_rate"] == 0.5


def test_beats_come_when_their_time_has_come() -> None:
    """Progress is told once the beat's time has passed, with the rate since the last one."""
    now = 0.0
    report = Recorder()
    beat = Beat(report, epochs=2, batches=10, device=torch.device("cpu"), clock=lambda: now)

    told = []
    for done in range(1, 11):
        now += BEAT_SECONDS / 4
        told.append(beat.is_due(16))
        if told[-1]:
            beat.report(epoch=2, done=done, loss=0.5, gradient_norm=math.inf)

    assert told == [False, False, False, True, False, False, False, True, False, False]
    assert [beat.fraction for beat in report.beats] == [14 / 20, 18 / 20]
    assert [beat.epoch_fraction for beat in report.beats] == [4 / 10, 8 / 10]
    assert [beat.examples_per_second for beat in report.beats] == [64 / BEAT_SECONDS] * 2


def test_beats_tell_how_it_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the middle of an epoch loss, gradient norm, rate and memory are told."""
    monkeypatch.setattr("modelyard.train.beat.BEAT_SECONDS", 0.0)
    report = Recorder()

    fit(job(table(tmp_path / "data"), tmp_path / "scratch", epochs=2), report)

    assert [beat.epoch_fraction for beat in report.beats] == [0.25, 0.5, 0.75, 1.0] * 2
    assert all(beat.gradient_norm is not None for beat in report.beats)
    last = report.beats[-1]
    assert last.loss == pytest.approx(report.curve[2]["train_loss"], rel=0.2)
    assert last.gradient_norm == pytest.approx(report.curve[2]["gradient_norm"])
    assert last.examples_per_second > 0
    assert last.memory_bytes > 10 * 2**20
    assert last.device_memory_bytes is None
