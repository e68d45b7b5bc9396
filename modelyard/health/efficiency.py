"""Parameter efficiency: how much is known for how many parameters."""

from __future__ import annotations

import math

from modelyard.health.bounds import clipped

LARGE = 6.0
"""Decades of parameters ÷ memory where size scores 0: a million times what could memorise the data,
which is more than a large network that is fine-tuned on a thousand texts has."""


def efficiency(skill: float, parameters: int, rows: int, features: int) -> float:
    """Skill times how small the model is for its data.

    Size is measured against the number of parameters that suffice to memorise the training
    split, 2 · rows + features. Up to that nothing is in excess, and the score is the skill.
    Beyond it falls with the square of the decades: ten times as many cost 3 %, a hundred times
    11 %, ten thousand times 44 %. At equal size the score is in proportion to the skill, so a
    tiny model that knows nothing isn't efficient.

    The square, because the first decades are the price of being trainable at all: a network that
    is just large enough to memorise is where the test error peaks, and it falls again beyond
    (Nakkiran et al.), and networks that were trained keep their accuracy with a tenth of their
    weights (Frankle and Carbin), but don't reach it when they start with so few. What comes
    after that buys ever less. On a straight line the first decade would cost as much as the
    last, and a whole point of accuracy would go for a network that only just works.

    Source: Zhang, Bengio, Hardt, Recht and Vinyals, "Understanding deep learning requires
    rethinking generalization", 2017, theorem 1: a two-layer ReLU network with 2n + d weights
    represents any function on n examples of d features. Nakkiran, Kaplun, Bansal, Yang, Barak and
    Sutskever, "Deep double descent", 2020; Frankle and Carbin, "The lottery ticket hypothesis",
    2019. The square and the end of the scale are this project's convention.

    Args:
        skill: what is right beyond chance, 0 to 1; see ``skill_of``.
        parameters: numbers that were learnt; of trees their nodes.
        rows: of the training split.
        features: numbers of one preprocessed example.

    Returns:
        0 to 1.
    """
    decades = math.log10(max(parameters, 1) / (2 * rows + features))
    return clipped(skill) * (1 - clipped(decades / LARGE) ** 2)


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
