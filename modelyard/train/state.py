"""The moving parts of a fit, in one place that the loop writes and hooks read."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from modelyard.models.family import Task
from modelyard.train.tensors import Split


@dataclass(kw_only=True)
class FitState:
    """Where a fit stands; the fitting thread's alone. It is what hooks see as ``FitView``.

    Args:
        module, optimizer: what is fitted, and by what.
        task, device, train, validation: see ``FitView``.
        epochs: full length.
        steps: the optimiser's, of an epoch.
        epoch: the running one, from 1; between epochs the last finished one.
        step: the optimiser's running one, from 1 over all epochs; 0 before the first.
    """

    module: nn.Module
    optimizer: torch.optim.Optimizer
    task: Task
    device: torch.device
    train: Split
    validation: Split
    epochs: int
    steps: int
    epoch: int = 0
    step: int = 0
