"""Three distances between the rows of two tables: (n, features), (m, features) → (n, m)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def euclidean(left: Array, right: Array) -> Array:
    """Length of the straight line between two rows."""
    squares = (left**2).sum(1)[:, None] - 2 * left @ right.T + (right**2).sum(1)
    # Rounding can leave a tiny negative square where rows are equal.
    return np.sqrt(np.maximum(squares, 0))


def manhattan(left: Array, right: Array) -> Array:
    """Sum of the differences along each feature."""
    result: Any = np.abs(left[:, None] - right).sum(2)
    return result


def cosine(left: Array, right: Array) -> Array:
    """One minus the cosine of the angle between two rows; a row of zeros is at 1 from others."""
    lengths = np.linalg.norm(left, axis=1)[:, None] * np.linalg.norm(right, axis=1)
    cosines = np.divide(left @ right.T, lengths, out=np.zeros_like(lengths), where=lengths > 0)
    return np.clip(1 - cosines, 0, 2)
