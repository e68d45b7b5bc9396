"""The evaluate stage: the model and the champion on the same test rows, and the gates."""

from __future__ import annotations

from typing import Any

import numpy as np

from modelyard.contract import TrialResult
from modelyard.data.card import DataCard
from modelyard.data.snapshot import Snapshot
from modelyard.errors import ModelyardError
from modelyard.evaluate.gates import judge
from modelyard.evaluate.metrics import compute, confusion, per_class
from modelyard.experiment.model import Gate
from modelyard.models import packed
from modelyard.models.estimator import Array
from modelyard.store import Store


def evaluate(
    *,
    snapshot: Snapshot,
    store: Store,
    model: str,
    champion: str | None,
    gates: tuple[Gate, ...],
    seed: int,
) -> TrialResult:
    """Measure a packed model on the test split.

    Args:
        snapshot: whose test split is taken.
        store: where the models lie.
        model: URI of the candidate.
        champion: URI of the present champion, None without one.
        gates: what is required of the candidate.
        seed: of the gates' bootstrap.

    Returns:
        The candidate's metrics; in ``outcome`` gates, confusion, numbers per class and the
        champion's metrics, or in ``champion_error`` why it has none on these rows.
    """
    card = snapshot.card
    rows, truth = snapshot.rows("test"), snapshot.target("test")
    output = packed.load(store.fetch(model)).predict(rows).output
    outcome: dict[str, Any] = {
        "gates": [
            verdict.model_dump(mode="json") for verdict in judge(gates, truth, output, card, seed)
        ],
        "rows": len(truth),
        **_by_class(card, truth, output),
        **_champion(store, champion, snapshot, truth),
    }
    return TrialResult(metrics=compute(card.task, truth, output), model=model, outcome=outcome)


def _by_class(card: DataCard, truth: Array, output: Array) -> dict[str, Any]:
    if card.task == "regression":
        return {"confusion": None, "per_class": {}}
    matrix = confusion(truth, output)
    return {
        "confusion": {"classes": list(card.classes), "matrix": matrix.tolist()},
        "per_class": per_class(matrix, card.classes),
    }


def _champion(
    store: Store, champion: str | None, snapshot: Snapshot, truth: Array
) -> dict[str, Any]:
    """The champion's metrics. One that can't take these rows must not stop the candidate."""
    if champion is None:
        return {"champion": None}
    try:
        output = _champion_output(packed.load(store.fetch(champion)), snapshot)
    except (ModelyardError, OSError, ValueError, KeyError) as error:
        print(f"the champion can't be compared: {error}")
        return {"champion": None, "champion_error": str(error)}
    return {"champion": {"metrics": compute(snapshot.card.task, truth, output)}}


def _champion_output(champion: packed.Predictor, snapshot: Snapshot) -> Array:
    """The champion's output in this snapshot's order of classes."""
    old, new = champion.card, snapshot.card
    if old.task != new.task:
        raise ModelyardError(f"the champion does {old.task}, the new model {new.task}")
    if set(old.classes) != set(new.classes):
        raise ModelyardError(
            f"the champion knows the classes {', '.join(old.classes)}; "
            f"these rows have {', '.join(new.classes)}"
        )
    output = champion.predict(snapshot.rows("test")).output
    if new.task == "regression":
        return output
    order = np.array([old.classes.index(name) for name in new.classes])
    return output[:, order]
