"""Gradient health: whether every layer gets a gradient that it can use."""

from __future__ import annotations

import math
from collections.abc import Sequence

from modelyard.health.bounds import clipped

FAINT, LOST = -4.0, -7.0
"""Decades of the relative gradient where it begins to vanish, and where it is lost: float32 keeps
7.2 decimal digits, so that a step of that size leaves the weights as they are."""

STRONG, BURST = 1.0, 4.0
"""Decades where it begins to explode, and where it has: a step at a learning rate of 0.001 then
replaces the weights ten times over."""


def gradients(
    norms: Sequence[Sequence[float]], weights: Sequence[Sequence[float]], losses: Sequence[float]
) -> float | None:
    """Mean over epochs and layers of how usable the gradient is.

    What a step does depends on the gradient relative to the weights, ‖g‖ ÷ ‖w‖. Within a wide
    band it is usable and scores 1; below it falls to 0 in proportion to the logarithm, as it
    vanishes, above as it explodes. A small gradient at a small loss is only a fit that has
    converged: below the band it is therefore taken relative to the loss, where that is under 1.

    Source: the relative gradient as a layer's measure, You, Gitman and Ginsburg, "Large batch
    training of convolutional networks", 2017 (LARS); vanishing and exploding over layers, Pascanu,
    Mikolov and Bengio, "On the difficulty of training recurrent neural networks", 2013. The lower
    end is float32's resolution, the upper is this project's convention.

    Args:
        norms: L2 norm of each layer's weight's gradient, a row for each epoch, of one batch.
        weights: that of the weight itself, alike.
        losses: that batch's loss, one for each epoch.

    Returns:
        0 to 1; None where nothing was measured, or all weights are 0.
    """
    scores = [
        _score(norm / weight, loss)
        for row, sizes, loss in zip(norms, weights, losses, strict=True)
        for norm, weight in zip(row, sizes, strict=True)
        if weight > 0
    ]
    return sum(scores) / len(scores) if scores else None


def _score(relative: float, loss: float) -> float:
    if not math.isfinite(relative):
        return 0.0
    if loss <= 0:
        return 1.0  # nothing is left to learn, so that no layer can be expected to
    if relative <= 0:
        return 0.0
    high = math.log10(relative)
    low = high - math.log10(min(1.0, loss))
    return clipped((low - LOST) / (FAINT - LOST)) * clipped((BURST - high) / (BURST - STRONG))
