"""The six scores together, and the one number that they come to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from modelyard.health.bounds import clipped
from modelyard.health.consistency import consistency
from modelyard.health.convergence import convergence
from modelyard.health.efficiency import efficiency, skill_of
from modelyard.health.gradients import gradients
from modelyard.health.numbers import Gradients, Units
from modelyard.health.stability import stability
from modelyard.health.utilisation import utilisation

WEIGHTS: Mapping[str, float] = {
    "utilisation": 0.25,
    "stability": 0.20,
    "efficiency": 0.15,
    "gradients": 0.15,
    "convergence": 0.15,
    "consistency": 0.10,
}
"""Weight of each score in ``HEALTH``."""

HEALTH = "health"
"""Name of the weighted mean among the scores."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a fit was seen to do.

    Args:
        metrics: of the validation split for the kept model, plain names.
        chance: the largest class's share of the validation split; None for a regression.
        parameters: numbers that were learnt; of trees their nodes. None where nobody can count
            them.
        rows, features: of the training split, preprocessed.
        history: each epoch's metrics with their split, first to last; empty without epochs.
        units: of each layer of activations.
        gradients: None where there are none.
    """

    metrics: Mapping[str, float]
    chance: float | None
    parameters: int | None
    rows: int
    features: int
    history: Sequence[Mapping[str, float]] = ()
    units: Sequence[Units] = ()
    gradients: Gradients | None = None


def score(measured: Measured) -> dict[str, float]:
    """The scores that can be told, by name, and with any of them ``health``.

    A score that wasn't measured is absent, and the weights of the others are scaled up to 1.
    """
    found = {
        "utilisation": utilisation(measured.units),
        "stability": stability(_curve(measured, "train_loss")),
        "efficiency": _efficiency(measured),
        "gradients": _flow(measured.gradients),
        "convergence": convergence(_curve(measured, "validation_loss")),
        "consistency": consistency(_accuracies(measured)),
    }
    scores = {name: value for name, value in found.items() if value is not None}
    return {**scores, HEALTH: overall(scores)} if scores else {}


def overall(scores: Mapping[str, float]) -> float:
    """Weighted mean over the scores that there are.

    Args:
        scores: at least one, by names of ``WEIGHTS``.
    """
    weight = sum(WEIGHTS[name] for name in scores)
    return sum(WEIGHTS[name] * value for name, value in scores.items()) / weight


def total(metric: float, scores: Mapping[str, float], metric_weight: float) -> float:
    """What a trial is judged by in the mode *health-aware*.

    Args:
        metric: the objective's; clipped to 0 … 1, as R² may lie below.
        scores: of the trial. Without any, the metric has the whole weight: an unmeasured score
            is no score of 0.
        metric_weight: 0 to 1; health has the rest.
    """
    value = clipped(metric)
    if HEALTH not in scores:
        return value
    return metric_weight * value + (1 - metric_weight) * scores[HEALTH]


def _flow(seen: Gradients | None) -> float | None:
    return None if seen is None else gradients(seen.norms, seen.weights, seen.losses)


def _curve(measured: Measured, name: str) -> list[float]:
    return [values[name] for values in measured.history if name in values]


def _accuracies(measured: Measured) -> list[float]:
    name = "r2" if measured.chance is None else "accuracy"
    return [clipped(value) for value in _curve(measured, f"validation_{name}")]


def _efficiency(measured: Measured) -> float | None:
    if measured.parameters is None:
        return None
    skill = _skill(measured)
    if skill is None:
        return None
    return efficiency(skill, measured.parameters, measured.rows, measured.features)


def _skill(measured: Measured) -> float | None:
    if measured.chance is None:
        return measured.metrics.get("r2")
    accuracy = measured.metrics.get("accuracy")
    return None if accuracy is None else skill_of(accuracy, measured.chance)
