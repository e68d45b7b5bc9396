"""Folds and repeats inside one trial: each fit by hand, resumed as unbroken, mean and spread."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from modelyard.api import TrialState
from modelyard.data.snapshot import Snapshot, open_snapshot, write_snapshot
from modelyard.data.split import Folds, Parts, folds_by_row
from modelyard.sweep.study import SweepStudy
from modelyard.train.errors import CheckpointUnusable, Diverged, Stopped
from modelyard.train.fit import fit
from modelyard.train.folds import FoldsOutcome, fit_folds
from tests.support.fitting import Recorder, job, table

FOLDS, REPEATS = 3, 2
EPOCHS = 2
BATCHES = 4
"""Of an epoch of a fold: 213 rows by 64."""


def folded(folder: Path) -> tuple[Snapshot, Parts, Folds]:
    """A table of 400 rows, 320 of them in folds, and which row is where."""
    whole = table(folder.with_name("whole"))
    order = np.arange(400)
    parts = Parts(order[:240], order[240:320], order[320:])
    cuts = [folds_by_row(_target(whole)[:320], FOLDS, seed) for seed in (7, 8)]
    folds = Folds(numbers=np.stack(cuts), forward=False)
    return _written(folder, whole, parts, folds), parts, folds


def by_hand(folder: Path, whole: Snapshot, learnt: Any, measured: Any) -> Snapshot:
    """A snapshot whose training and validation part are these rows."""
    return _written(folder, whole, Parts(learnt, measured, np.arange(320, 400)), None)


def _target(snapshot: Snapshot) -> Any:
    return np.concatenate([snapshot.target(s) for s in ("train", "validation", "test")])


def _written(folder: Path, source: Snapshot, parts: Parts, folds: Folds | None) -> Snapshot:
    folder.mkdir()
    write_snapshot(
        folder,
        card=source.card,
        rows=source._all,
        target=_target(source),
        parts=parts,
        settings={},
        folds=folds,
    )
    return open_snapshot(folder)


def trial(snapshot: Snapshot, scratch: Path, **rest: Any) -> Any:
    """A job with folds; a network with dropout unless ``rest`` says otherwise."""
    data = {"source": "test", "folds": FOLDS, "repeats": REPEATS, "sample": rest.pop("sample", 1.0)}
    return job(
        snapshot, scratch, **{"epochs": EPOCHS, "data": data, "train": {"dropout": 0.2}, **rest}
    )


@pytest.mark.parametrize("family", ["mlp", "random-forest"])
def test_a_fold_is_the_fit_by_hand(family: str, tmp_path: Path) -> None:
    """Each fold has the very metrics of a plain fit on its rows, with the seed of its repeat."""
    snapshot, _, folds = folded(tmp_path / "data")
    small = {"n_estimators": 5} if family == "random-forest" else {}
    model = {"family": family, "parameters": small}
    report = Recorder()
    found = fit_folds(trial(snapshot, tmp_path / "s", family=family, model=model), report)

    for one in found.folds:
        numbers = folds.numbers[one.repeat - 1]
        rows = by_hand(
            tmp_path / f"hand-{one.step}",
            open_snapshot(tmp_path / "whole"),
            np.flatnonzero(numbers != one.fold),
            np.flatnonzero(numbers == one.fold),
        )
        plain = trial(rows, tmp_path / "s", family=family, model=model, seed=3 + one.repeat - 1)
        alone = fit(plain, Recorder())
        assert (one.metrics, one.epoch) == (alone.metrics, alone.step)
        told = {f"validation_{name}": value for name, value in alone.metrics.items()}
        assert report.curve[one.step] == told
    steps = [(one.step, one.repeat, one.fold) for one in found.folds]
    assert steps == [(1, 1, 1), (2, 1, 2), (3, 1, 3), (4, 2, 1), (5, 2, 2), (6, 2, 3)]
    accuracies = [one.metrics["accuracy"] for one in found.folds]
    assert found.mean["accuracy"] == np.mean(accuracies)
    assert found.spread["accuracy"] == np.std(accuracies, ddof=1) > 0


def interrupted(tmp_path: Path, stop_after: int, **rest: Any) -> tuple[FoldsOutcome, Recorder, int]:
    """A trial that was stopped after so many batches and went on; what its second launch said."""
    kept = tmp_path / f"kept-{stop_after}"
    with pytest.raises(Stopped) as stopped:
        fit_folds(trial(scratch=tmp_path / "a", **rest), Recorder(kept, stop_after=stop_after))
    # Another random state, as a new process would have.
    torch.manual_seed(stop_after)
    resume = kept / f"{stopped.value.epoch:06d}"
    assert sorted(kept.iterdir())[-1] == resume
    report = Recorder()
    found = fit_folds(trial(scratch=tmp_path / "b", resume=resume, **rest), report)
    return found, report, stopped.value.epoch


@pytest.mark.parametrize("batches", [BATCHES + 2, 2 * BATCHES, 2 * BATCHES + 3, 5 * BATCHES + 3])
def test_a_resumed_trial_is_the_unbroken_one(batches: int, tmp_path: Path) -> None:
    """Wherever it stops, in the first fold or a later one or between two, it ends the same."""
    snapshot = folded(tmp_path / "data")[0]
    unbroken = Recorder()
    whole = fit_folds(trial(snapshot, tmp_path / "s"), unbroken)

    found, report, _ = interrupted(tmp_path, batches, snapshot=snapshot)

    assert found == whole
    assert report.curve == unbroken.curve


def test_stopped_before_its_first_epoch_it_has_nothing_to_go_on_from(tmp_path: Path) -> None:
    """No checkpoint is named where none was written."""
    snapshot = folded(tmp_path / "data")[0]
    with pytest.raises(Stopped, match="no epoch was finished") as stopped:
        fit_folds(trial(snapshot, tmp_path / "s"), Recorder(stop_after=2))
    assert stopped.value.epoch == 0


def test_finished_folds_are_not_fitted_again(tmp_path: Path) -> None:
    """Stopped in its third fold, a trial goes on with just that one's second epoch."""
    snapshot = folded(tmp_path / "data")[0]
    asked = Recorder()
    fit_folds(trial(snapshot, tmp_path / "s"), asked)
    before = 2 * EPOCHS * BATCHES + 2 + BATCHES

    _, report, epoch = interrupted(tmp_path, before + 1, snapshot=snapshot)

    assert epoch == 2 * EPOCHS + 1
    # Once more before it begins.
    assert report.asked == asked.asked - before + 1


def test_an_interrupted_forest_keeps_its_folds(tmp_path: Path) -> None:
    """A classical family stops between two folds, and the next launch fits only the others."""
    snapshot = folded(tmp_path / "data")[0]
    rest: dict[str, Any] = {
        "snapshot": snapshot,
        "family": "random-forest",
        "model": {"family": "random-forest", "parameters": {"n_estimators": 5}},
        "epochs": 1,
    }
    unbroken = Recorder()
    whole = fit_folds(trial(scratch=tmp_path / "s", **rest), unbroken)

    found, report, number = interrupted(tmp_path, 1, **rest)

    assert number == 2
    assert found == whole
    assert report.curve == unbroken.curve
    assert [name for name, _ in report.phases].count("fitting") == 4


def test_repeats_without_folds_differ_by_their_seed(tmp_path: Path) -> None:
    """One split, fitted three times: the first as it is without repeats."""
    snapshot = table(tmp_path / "data")
    data = {"source": "test", "repeats": 3}
    found = fit_folds(job(snapshot, tmp_path / "s", data=data, epochs=1), Recorder())

    alone = fit(job(snapshot, tmp_path / "s", epochs=1), Recorder())
    assert [one.repeat for one in found.folds] == [1, 2, 3]
    assert found.folds[0].metrics == alone.metrics
    assert len({one.metrics["loss"] for one in found.folds}) == 3


def test_a_sample_is_taken_of_what_a_fold_learns_from(tmp_path: Path) -> None:
    """With data.sample folds learn from less and are measured on as much."""
    snapshot = folded(tmp_path / "data")[0]
    asked, sampled = Recorder(), Recorder()
    fit_folds(trial(snapshot, tmp_path / "s"), asked)
    fit_folds(trial(snapshot, tmp_path / "s", sample=0.25), sampled)

    # 54 rows are one batch, 213 are four.
    assert sampled.asked == FOLDS * REPEATS * EPOCHS + 5
    assert asked.asked == FOLDS * REPEATS * EPOCHS * BATCHES + 5
    one = snapshot.fold(1, 1)
    plain = trial(one.sampled(0.25, 7), tmp_path / "s")
    assert sampled.curve[1]["validation_loss"] == fit(plain, Recorder()).metrics["loss"]


def test_a_checkpoint_of_other_folds_is_refused(tmp_path: Path) -> None:
    """What is resumed must be the same trial, and whole."""
    snapshot = folded(tmp_path / "data")[0]
    kept = tmp_path / "kept"
    with pytest.raises(Stopped):
        fit_folds(trial(snapshot, tmp_path / "s"), Recorder(kept, stop_after=3 * BATCHES))
    resume = sorted(kept.iterdir())[-1]
    with pytest.raises(CheckpointUnusable, match="other folds"):
        fit_folds(trial(snapshot, tmp_path / "s", seed=4, resume=resume), Recorder())
    (resume / "folds.json").write_text("{}")
    with pytest.raises(CheckpointUnusable, match="KeyError"):
        fit_folds(trial(snapshot, tmp_path / "s", resume=resume), Recorder())


def test_wilcoxon_stops_a_losing_configuration(tmp_path: Path) -> None:
    """In a real study a configuration that loses in every fold ends before its last fold, and
    one that is about as good as the best is fitted in all of them."""
    snapshot = folded(tmp_path / "data")[0]
    search = {
        "pruner": "wilcoxon",
        "sampler": "grid",
        "space": {"learning_rate": [1e-2, 1.1e-2, 1e-6]},
    }
    wanted = trial(snapshot, tmp_path / "s", search=search, objective={"metric": "accuracy"})
    study = SweepStudy(
        storage=f"sqlite:///{tmp_path}/optuna.db",
        name="s",
        experiment=wanted.experiment,
        space=wanted.experiment.search.space,
    )
    steps = {}
    for number in sorted(range(3), key=lambda n: -float(study.ask(n).parameters["learning_rate"])):
        parameters = study.trial(number).parameters
        report = Pruned(study, number)
        try:
            found = fit_folds(replace(wanted, parameters=parameters), report)
        except Stopped:
            study.tell(number, TrialState.PRUNED)
        else:
            study.tell(number, TrialState.COMPLETE, [found.mean["accuracy"]])
        steps[parameters["learning_rate"]] = max(report.curve)
    study.close()

    assert steps[1e-2] == steps[1.1e-2] == FOLDS * REPEATS
    assert steps[1e-6] == 4


class Pruned(Recorder):
    """A reporter that shows each step to a study, and stops when its pruner says so."""

    def __init__(self, study: SweepStudy, number: int) -> None:
        super().__init__()
        self._study = study
        self._number = number
        self._unwanted = False

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Keep and report them."""
        super().metrics(step, values)
        seen = [(step, values["validation_accuracy"])]
        self._unwanted = self._study.report(self._number, seen) or self._unwanted

    def should_stop(self) -> bool:
        """As the pruner wants it."""
        return self._unwanted


def test_a_loss_that_becomes_nan_names_the_fold(tmp_path: Path) -> None:
    """The step and the rate are those of the fit that diverged."""
    snapshot = table(tmp_path / "data", regression=True)
    data = {"source": "test", "repeats": 2}
    train = {"learning_rate": 1e30, "optimizer": "sgd"}
    with pytest.raises(Diverged, match=r"\(epoch 1 of fold 1\)") as diverged:
        fit_folds(job(snapshot, tmp_path / "s", data=data, train=train), Recorder())
    assert diverged.value.epoch == 1


def test_progress_runs_over_all_folds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A beat says which fold of how many, and how far the whole trial is."""
    monkeypatch.setattr("modelyard.train.beat.BEAT_SECONDS", 0.0)
    snapshot = folded(tmp_path / "data")[0]
    report = Recorder()
    fit_folds(trial(snapshot, tmp_path / "s"), report)

    fits = FOLDS * REPEATS
    assert {(beat.epoch, beat.epochs) for beat in report.beats} == {
        (step, fits) for step in range(1, fits + 1)
    }
    fractions = [beat.fraction for beat in report.beats]
    assert fractions == sorted(fractions)
    assert fractions[-1] == pytest.approx(1)
