"""Convergence quality: whether the fit was finished when it ended."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate

from modelyard.health.bounds import clipped

FEWEST = 5
"""Epochs; with fewer the last fifth is no whole epoch."""

TAIL = 0.2
"""Share of the epochs that is looked at: enough to see a slope over the unrest of a few epochs."""


def convergence(losses: Sequence[float]) -> float | None:
    """How flat the validation loss's lower envelope is over the last fifth of the fit.

    The envelope is the best loss so far. A straight line falls as much in its last fifth as in
    any other: it would have gone on, and scores 0. A curve that has reached its floor gains
    nothing in the end and scores 1. Between them the score is 1 − (share of the whole fall that
    came in the tail) ÷ (share of the steps that the tail is); an exponential decay over five
    time constants has 0.94. A validation loss that rises again isn't still falling: that the
    model then overfits is seen in its metric.

    Source: the criterion of early stopping, Prechelt, "Early stopping – but when?", 1998 (gain
    within a strip of epochs against what was gained before), held against a straight line.

    Args:
        losses: validation loss of each epoch, first to last.

    Returns:
        0 to 1; None with fewer than ``FEWEST`` epochs.
    """
    if len(losses) < FEWEST:
        return None
    best = list(accumulate(losses, min))
    whole = best[0] - best[-1]
    if not whole > 0:
        return 1.0
    steps = len(best) - 1
    tail = math.ceil(TAIL * steps)
    gained = (best[-1 - tail] - best[-1]) / whole
    return clipped(1 - gained / (tail / steps))
