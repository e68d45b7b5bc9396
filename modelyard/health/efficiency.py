"""Parameter efficiency: how much is known for how many parameters."""

from __future__ import annotations

import math

from modelyard.health.bounds import clipped

SMALL, LARGE = -2.0, 4.0
"""Decades of parameters ÷ memory where size scores 1 and 0: from a hundredth of what could
memorise the data to ten thousand times that."""


def efficiency(skill: float, parameters: int, rows: int, features: int) -> float:
    """Skill times how small the model is for its data.

    Size is measured against the number of parameters that suffice to memorise the training
    split, 2 · rows + features, on a logarithmic scale: a hundred times as many cost a third of
    the score, whatever the size they start from, and at equal size the score is in proportion to
    the skill. So a model may be large where the data are many, and a tiny model that knows
    nothing isn't efficient.

    Source: Zhang, Bengio, Hardt, Recht and Vinyals, "Understanding deep learning requires
    rethinking generalization", 2017, theorem 1: a two-layer ReLU network with 2n + d weights
    represents any function on n examples of d features. The ends of the scale are this project's
    convention.

    Args:
        skill: what is right beyond chance, 0 to 1; see ``skill_of``.
        parameters: numbers that were learnt; of trees their nodes.
        rows: of the training split.
        features: numbers of one preprocessed example.

    Returns:
        0 to 1.
    """
    decades = math.log10(max(parameters, 1) / (2 * rows + features))
    return clipped(skill) * clipped((LARGE - decades) / (LARGE - SMALL))


def skill_of(accuracy: float, chance: float) -> float | None:
    """Accuracy on the scale where always naming the largest class is 0 and no error is 1.

    Source: the skill score of forecasting, (score − reference) ÷ (perfect − reference).

    Args:
        accuracy: 0 to 1.
        chance: the largest class's share of the same rows.

    Returns:
        0 to 1; None where all rows have one class, as nothing is to be known.
    """
    return clipped((accuracy - chance) / (1 - chance)) if chance < 1 else None
