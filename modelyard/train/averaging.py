"""A moving average of a network's weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel


class Average:
    """The exponential moving average of weights and buffers, one step of the optimiser at a time.

    The decay begins low and rises to its full value, (1 + n) / (10 + n) after n steps, or a short
    fit would keep its first weights: as in TensorFlow's ``ExponentialMovingAverage`` with
    ``num_updates``. Buffers, the statistics of batch norm among them, are averaged too, so that
    they belong to the averaged weights.

    Args:
        module: the network that is fitted.
        decay: full decay, between 0 and 1.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self._decay = decay
        self._steps = 0
        self._averaged = AveragedModel(module, multi_avg_fn=self._mix, use_buffers=True)
        self._averaged.requires_grad_(False)

    @property
    def module(self) -> nn.Module:
        """The network with the averaged weights."""
        module: nn.Module = self._averaged.module
        return module

    def update(self, module: nn.Module, step: int) -> None:
        """Take in the weights after a step, counted from 1 over all epochs."""
        self._steps = step
        self._averaged.update_parameters(module)

    def restore(self, weights: dict[str, torch.Tensor], step: int) -> None:
        """Go on from averaged weights as they were after a step."""
        self.module.load_state_dict(weights)
        self._averaged.n_averaged.fill_(step)

    @torch.no_grad()
    def _mix(
        self,
        averaged: Sequence[torch.Tensor],
        current: Sequence[torch.Tensor],
        _count: torch.Tensor | int,
    ) -> None:
        decay = min(self._decay, (1 + self._steps) / (10 + self._steps))
        if averaged[0].is_floating_point():
            torch._foreach_lerp_(list(averaged), list(current), 1 - decay)
        else:
            # Counters: there is nothing between two of them.
            torch._foreach_copy_(list(averaged), list(current))
