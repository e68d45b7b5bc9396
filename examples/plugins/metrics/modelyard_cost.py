"""What wrong answers cost, where missing the last class is dearer than a false alarm."""

import numpy as np
from numpy.typing import NDArray

from modelyard.evaluate.catalogue import Metric

MISS = 5.0
"""Price of taking a row of the last class for another; any other mistake costs 1."""


def cost(truth: NDArray[np.int64], output: NDArray[np.float64]) -> float:
    """Mean price of a row.

    Args:
        truth: (n,) class indices.
        output: (n, classes) probabilities.
    """
    wrong = output.argmax(axis=1) != truth
    missed = truth == output.shape[1] - 1
    return float(np.where(wrong, np.where(missed, MISS, 1.0), 0.0).mean())


COST = Metric(
    name="cost",
    tasks=("classification",),
    goal="minimize",
    bounds=(0.0, MISS),
    description="mean price of a row; a missed row of the last class costs 5, others 1",
    function=cost,
)
"""The entry point."""
