"""The evaluate stage: everything that is said about a model on the test split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from modelyard.data.card import DataCard
from modelyard.data.rows import Rows
from modelyard.evaluate.compare import NotComparable, compare
from modelyard.evaluate.gates import judge
from modelyard.evaluate.metrics import compute, confusion, per_class
from modelyard.evaluate.plugged import Evidence
from modelyard.experiment.model import Experiment
from modelyard.models.estimator import Array
from modelyard.models.predictor import Predictor


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What the stage reports.

    Args:
        metrics: of the test split, plain names.
        outcome: ``gates``, ``confusion``, ``per_class``, ``absent`` (classes without test rows),
            ``champion``, ``rows``; and ``champion_error`` where there is a champion that can't
            be compared.
        output: (n, classes) probabilities or (n,) values that it is all about.
    """

    metrics: dict[str, float]
    outcome: dict[str, Any]
    output: Array


def evaluate(
    model: Predictor,
    *,
    rows: Rows,
    truth: Array,
    card: DataCard,
    experiment: Experiment,
    champion: Predictor | None = None,
) -> Evaluation:
    """Measure a model on the test split, hold its gates, compare it with the champion.

    Args:
        model: the candidate.
        rows, truth: the test split, raw rows and (n,) class indices or values.
        card: of the snapshot.
        experiment: gates, objective and seed are read.
        champion: the model that serves now.

    Raises:
        InputError: a gate's metric doesn't fit the task.
    """
    output = model.predict(rows).output
    metrics = compute(card.task, truth, output, also=experiment.measured)
    evidence = Evidence(truth=truth, output=output, rows=rows, card=card, metrics=metrics)
    gates = judge(experiment.gates, evidence, experiment.seed)
    matrix = confusion(truth, output) if card.task == "classification" else None
    outcome: dict[str, Any] = {
        "rows": len(truth),
        "gates": [gate.model_dump(mode="json") for gate in gates],
        "confusion": None,
        "per_class": {},
        "absent": [],
        "champion": None,
    }
    if matrix is not None:
        outcome["confusion"] = {"classes": list(card.classes), "matrix": matrix.tolist()}
        outcome["per_class"] = per_class(matrix, card.classes)
        missing = matrix.sum(axis=1) == 0
        outcome["absent"] = [name for name, gone in zip(card.classes, missing, strict=True) if gone]
    if champion is not None:
        metric = experiment.objective[0].metric
        outcome |= _champion(metrics, champion, rows, truth, card, metric)
    return Evaluation(metrics=metrics, outcome=outcome, output=output)


def _champion(
    candidate: dict[str, float],
    champion: Predictor,
    rows: Rows,
    truth: Array,
    card: DataCard,
    metric: str,
) -> dict[str, Any]:
    try:
        found = compare(candidate, champion, rows=rows, truth=truth, card=card, metric=metric)
    except NotComparable as error:
        return {"champion": None, "champion_error": str(error)}
    return {"champion": {"metrics": found.metrics, "metric": found.metric, "gap": found.gap}}
