"""The evaluate stage: the model and the champion on the same test rows, the gates, and why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from modelyard.contract import TrialResult
from modelyard.data.snapshot import Snapshot
from modelyard.errors import ModelyardError
from modelyard.evaluate import outcome
from modelyard.evaluate.explain import explain
from modelyard.evaluate.explanation import FILE as EXPLANATION
from modelyard.evaluate.outcome import Evaluation
from modelyard.evaluate.predictions import write_predictions
from modelyard.experiment.model import Experiment
from modelyard.models.packed import load
from modelyard.models.predictor import Predictor
from modelyard.store.store import Store, join

TOP = 10
"""Columns or words whose importance is in the outcome itself."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where an evaluation reads and writes, and who ends it.

    Args:
        store: where the models lie.
        folder: URI of the launch's own artifacts.
        scratch: local folder for temporary files.
        should_stop: whether the launch was told to end; explaining ends then.
    """

    store: Store
    folder: str
    scratch: Path
    should_stop: Callable[[], bool] = lambda: False

    def keep(self, name: str) -> str:
        """Commit what was written to ``scratch / name``; returns its URI."""
        return self.store.commit(self.scratch / name, join(self.folder, name))


def evaluate(
    *, snapshot: Snapshot, experiment: Experiment, place: Place, model: str, champion: str | None
) -> TrialResult:
    """Measure a packed model on the test split, keep every prediction, and explain the model.

    Args:
        snapshot: whose test split is taken.
        experiment: its gates, objective, seed and ``explain``.
        place: where the models are read and predictions are written.
        model: URI of the candidate.
        champion: URI of the present champion, None without one. If it can't be read or can't
            take these rows, the outcome's ``champion_error`` says why.
    """
    found, problem = _champion(place.store, champion)
    candidate = load(place.store.fetch(model))
    evaluation = outcome.evaluate(
        candidate,
        rows=snapshot.rows("test"),
        truth=snapshot.target("test"),
        card=snapshot.card,
        experiment=experiment,
        champion=found,
    )
    said = dict(evaluation.outcome)
    if problem is not None:
        said["champion_error"] = problem
    if "champion_error" in said:
        print(f"the champion can't be compared: {said['champion_error']}")
    if said["absent"]:
        print(f"the test split has no rows of {', '.join(said['absent'])}: nothing is known there")
    said["predictions"] = _predictions(snapshot, evaluation, place)
    if experiment.explain is not None:
        said |= _explanation(candidate, snapshot, evaluation, experiment, place)
    return TrialResult(metrics=evaluation.metrics, model=model, outcome=said)


def _predictions(snapshot: Snapshot, evaluation: Evaluation, place: Place) -> str:
    write_predictions(
        place.scratch / "predictions",
        rows=snapshot.source_rows("test"),
        truth=snapshot.target("test"),
        output=evaluation.output,
        card=snapshot.card,
    )
    return place.keep("predictions")


def _explanation(
    model: Predictor,
    snapshot: Snapshot,
    evaluation: Evaluation,
    experiment: Experiment,
    place: Place,
) -> dict[str, object]:
    """Where the explanation lies, and the most important of it."""
    assert experiment.explain is not None
    try:
        found = explain(
            model,
            snapshot,
            evaluation.output,
            metric=experiment.objective[0].metric,
            wanted=experiment.explain,
            seed=experiment.seed,
            ending=place.should_stop,
        )
    except Exception as error:  # plugins, own code, libraries; it must not cost the model
        print(f"The model isn't explained: {error}")
        return {}
    for note in found.notes:
        print(note)
    (place.scratch / "explanation").mkdir(parents=True, exist_ok=True)
    file = place.scratch / "explanation" / EXPLANATION
    file.write_text(found.model_dump_json(), encoding="utf-8")
    return {
        "explanation": place.keep("explanation"),
        "importance": {one.name: one.drop for one in found.importance[:TOP]},
    }


def _champion(store: Store, uri: str | None) -> tuple[Predictor | None, str | None]:
    """The champion, or why there is none: it must not stop the candidate."""
    if uri is None:
        return None, None
    try:
        return load(store.fetch(uri)), None
    except (ModelyardError, OSError) as error:
        return None, str(error)
