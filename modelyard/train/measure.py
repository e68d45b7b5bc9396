"""Measuring a network on the validation split."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn

from modelyard.evaluate.metrics import RANKED, compute
from modelyard.models.estimator import Array
from modelyard.models.network import Shape, outputs_of
from modelyard.train.errors import Diverged
from modelyard.train.losses import Loss
from modelyard.train.state import FitState
from modelyard.train.tensors import Split


def answers(module: nn.Module, split: Split) -> torch.Tensor:
    """(n, outputs) what a network, put into evaluation mode, says to each row of a split."""
    module.eval()
    with torch.inference_mode():
        return torch.cat([module(part) for part in split.parts()])


def measure(
    state: FitState,
    module: nn.Module,
    shape: Shape,
    loss_of: Loss,
    rate: float,
    also: Iterable[str] = (),
) -> tuple[dict[str, float], Array]:
    """The validation split's metrics by plain names, and the answers that they are of, as
    ``Estimator.predict``; ``loss`` is the training's own.

    In fp32 and not compiled, whatever the training is: as the model will serve.

    Args:
        state: of a fit whose epoch was trained.
        module: the network to measure; put into evaluation mode.
        shape: of the network.
        loss_of: what is minimised.
        rate: learning rate of the last step, to tell with a divergence.
        also: names of further metrics that are wanted; a plugin's is computed only then.

    Raises:
        Diverged: the loss is NaN or infinite.
    """
    split = state.validation
    raw = answers(module, split)
    with torch.inference_mode():
        loss = float(loss_of(raw, split.target))
    if not math.isfinite(loss):
        raise Diverged(step=state.step, epoch=state.epoch, learning_rate=rate, loss=loss)
    output: Array = outputs_of(raw, shape)
    # Sorting the rows once a class is much for every epoch, unless it is asked for.
    found = compute(state.task, split.truth, output, ranked=RANKED in also, also=also)
    return {**found, "loss": loss}, output
