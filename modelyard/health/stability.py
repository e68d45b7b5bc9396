"""Training stability: how little of the way down went up again."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from modelyard.health.bounds import clipped

FEWEST = 3
"""Epochs; with two there is one movement, which is either up or down."""


def stability(losses: Sequence[float]) -> float | None:
    """Share of the training loss's descent that wasn't lost again.

    With *down* the sum of all falls between neighbouring epochs and *up* that of all rises, it is
    1 − up ÷ down: 1 for a loss that only falls, 0 for one that ends where it began, however
    violently it moved, or higher. Being a ratio it doesn't depend on the loss's unit, and small
    unrest after a large descent counts little.

    Source: Kaufman's efficiency ratio of a series, net change over the way gone ("Smarter
    Trading", 1995), taken against the descent alone, so that it reaches 0.

    Args:
        losses: mean training loss of each epoch, first to last.

    Returns:
        0 to 1; None with fewer than ``FEWEST`` epochs.
    """
    if len(losses) < FEWEST:
        return None
    moves = [after - before for before, after in pairwise(losses)]
    up = sum(move for move in moves if move > 0)
    down = -sum(move for move in moves if move < 0)
    if not down:
        return 0.0 if up else 1.0
    return clipped(1 - up / down)
