"""Confidence bounds of shares of classes."""

from __future__ import annotations

import math
from statistics import NormalDist

CONFIDENCE = 0.95
"""Of the two-sided bounds that a report shows."""


def wilson(part: float, whole: float, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Two-sided bounds of a share that was seen in ``whole`` independent rows.

    Wilson 1927, "Probable Inference, the Law of Succession, and Statistical Inference"; the
    interval that Brown, Cai and DasGupta 2001, "Interval Estimation for a Binomial Proportion",
    recommend for few rows and for shares near 0 and 1, where classes of a good model are.

    Args:
        part: rows that have what is asked for.
        whole: rows that could have it, above 0.
        confidence: share of samples whose bounds hold the true value.
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = part / whole
    middle = share + z**2 / (2 * whole)
    reach = z * math.sqrt(share * (1 - share) / whole + z**2 / (4 * whole**2))
    scale = 1 + z**2 / whole
    # Rounding can pass the ends, which the exact bounds reach at shares of 0 and 1.
    return max(0.0, (middle - reach) / scale), min(1.0, (middle + reach) / scale)


def f1_bounds(right: float, true: float, predicted: float) -> tuple[float, float]:
    """Two-sided bounds of a class' F1.

    F1 is no share of rows, but rises with one that is: of the rows that are or are said to be of
    the class, the share J that is both, by F1 = 2 J / (1 + J). So J's bounds give F1's.

    Args:
        right: rows of the class that were recognised.
        true, predicted: rows that are of the class, and that are said to be; not both 0.
    """
    low, high = wilson(right, true + predicted - right)
    return 2 * low / (1 + low), 2 * high / (1 + high)
