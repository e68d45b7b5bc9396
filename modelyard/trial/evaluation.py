"""The evaluate stage: the model and the champion on the same test rows, and the gates."""

from __future__ import annotations

from modelyard.contract import TrialResult
from modelyard.data.snapshot import Snapshot
from modelyard.errors import ModelyardError
from modelyard.evaluate import outcome
from modelyard.experiment.model import Experiment
from modelyard.models.packed import Predictor, load
from modelyard.store.store import Store


def evaluate(
    *, snapshot: Snapshot, experiment: Experiment, store: Store, model: str, champion: str | None
) -> TrialResult:
    """Measure a packed model on the test split.

    Args:
        snapshot: whose test split is taken.
        experiment: its gates, objective and seed.
        store: where the models lie.
        model: URI of the candidate.
        champion: URI of the present champion, None without one. If it can't be read or can't
            take these rows, the outcome's ``champion_error`` says why.
    """
    found, problem = _champion(store, champion)
    evaluation = outcome.evaluate(
        load(store.fetch(model)),
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
    return TrialResult(metrics=evaluation.metrics, model=model, outcome=said)


def _champion(store: Store, uri: str | None) -> tuple[Predictor | None, str | None]:
    """The champion, or why there is none: it must not stop the candidate."""
    if uri is None:
        return None, None
    try:
        return load(store.fetch(uri)), None
    except (ModelyardError, OSError) as error:
        return None, str(error)
