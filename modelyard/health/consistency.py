"""Accuracy consistency: how little the validation accuracy jumps."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from modelyard.health.bounds import clipped

FEWEST = 6
"""Epochs, so that the second half has at least two movements that can cancel each other."""

LARGEST = 0.1
"""Needless movement an epoch that scores 0: an accuracy that is anywhere within ten points is no
basis for a choice between trials, which commonly lie within one."""


def consistency(accuracies: Sequence[float]) -> float | None:
    """How little the validation accuracy moves to and fro in the second half of the fit.

    The way that it goes, less the distance that it comes, is movement that led nowhere; divided
    by the steps it is the mean jump, and ``LARGEST`` of it or more scores 0. Steady gain and
    steady loss both score 1: only jumping counts, and the first half, where a network finds its
    way, not at all. What jumps between epochs makes the kept epoch a matter of luck.

    Source: the excess of a series' total variation over its net change (Kaufman's noise, see
    ``stability``), in points of accuracy; the scale ``LARGEST`` is this project's convention.

    Args:
        accuracies: of the validation split, each epoch's, 0 to 1; R² clipped to 0 … 1 where the
            target is a number.

    Returns:
        0 to 1; None with fewer than ``FEWEST`` epochs.
    """
    if len(accuracies) < FEWEST:
        return None
    half = accuracies[len(accuracies) // 2 - 1 :]
    way = sum(abs(after - before) for before, after in pairwise(half))
    needless = (way - abs(half[-1] - half[0])) / (len(half) - 1)
    return clipped(1 - needless / LARGEST)
