"""Integrated gradients of a network on images."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from modelyard.models.estimator import Array
from modelyard.models.network import Scale

STEPS = 32
"""Points of the path; Sundararajan et al. find 20 to 300 enough."""


def integrated_gradients(
    module: nn.Module, features: Array, target: int, *, scale: Scale | None
) -> Array:
    """What each input adds to one output on the way from a baseline.

    Sundararajan, Taly and Yan 2017, "Axiomatic Attribution for Deep Networks", equation 3: the
    mean gradient along the straight line from the baseline, times the input's distance from it.
    The baseline is zero, which is the training images' mean after preprocessing. The amounts add
    up to the output's difference between input and baseline, but for the sum's error.

    Args:
        module: in evaluation mode.
        features: (1, …) one preprocessed example.
        target: the class, whose probability is looked at; of a regression 0.
        scale: of a regression's target; None for classes.

    Returns:
        Amounts in the input's shape, of probability or in the target's unit.
    """
    device = next(module.parameters()).device
    example = torch.from_numpy(np.ascontiguousarray(features, np.float32)).to(device)
    # Midpoints: their error falls with the square of the step.
    places = (torch.arange(STEPS, device=device) + 0.5) / STEPS
    path = (places.view(-1, *[1] * (example.ndim - 1)) * example).requires_grad_()
    raw = module(path)
    chosen = raw.softmax(1)[:, target] if scale is None else raw[:, 0] * scale.deviation
    (gradient,) = torch.autograd.grad(chosen.sum(), path)
    amounts: Array = (gradient.mean(0) * example[0]).detach().cpu().numpy()
    return amounts
