"""What the validation split shows of a fitted model, as the numbers that are kept."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from modelyard.health.numbers import ROWS, Array, Confusion, Reliability

BINS = 10
"""Bins of confidence, as in Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural
networks", 2017."""


def confusion(truth: Array, output: Array, classes: Sequence[str]) -> Confusion:
    """Rows of true class i that are predicted as class j.

    Args:
        truth: (n,) class indices.
        output: (n, classes) probabilities.
        classes: their names.
    """
    count = len(classes)
    cells = truth.astype(np.int64) * count + output.argmax(axis=1)
    matrix = np.bincount(cells, minlength=count**2).reshape(count, count)
    return Confusion(
        classes=tuple(classes), matrix=tuple(tuple(int(n) for n in row) for row in matrix)
    )


def reliability(truth: Array, output: Array) -> tuple[Reliability, ...]:
    """Confidence against accuracy in ``BINS`` bins of equal width; empty bins are left out.

    Args:
        truth: (n,) class indices.
        output: (n, classes) probabilities.
    """
    confidence, right = output.max(axis=1), output.argmax(axis=1) == truth
    bins = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    return tuple(
        Reliability(
            low=number / BINS,
            high=(number + 1) / BINS,
            rows=int(here.sum()),
            confidence=float(confidence[here].mean()),
            accuracy=float(right[here].mean()),
        )
        for number in range(BINS)
        if (here := bins == number).any()
    )


def scatter(truth: Array, output: Array) -> dict[str, Array]:
    """True against predicted values of rows spread evenly over the split, at most ``ROWS``."""
    rows = np.linspace(0, len(truth) - 1, min(ROWS, len(truth))).astype(np.int64)
    return {
        "regression.true": truth[rows].astype(np.float32),
        "regression.predicted": output[rows].astype(np.float32),
    }
