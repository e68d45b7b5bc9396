"""Losses of a network, by task."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional

from modelyard.errors import InputError
from modelyard.models.family import Task

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""(n, outputs) raw outputs and (n,) targets → scalar mean."""


def _mse(raw: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return functional.mse_loss(raw.squeeze(1), target)


def _mae(raw: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return functional.l1_loss(raw.squeeze(1), target)


LOSSES: dict[str, tuple[Task, Loss]] = {
    "cross_entropy": ("classification", functional.cross_entropy),
    "mse": ("regression", _mse),
    "mae": ("regression", _mae),
}
"""Each loss with the task that it belongs to."""


def loss_for(name: str, task: Task) -> Loss:
    """The loss of that name; ``auto`` is cross_entropy for classes and mse for numbers.

    Raises:
        InputError: the loss belongs to another task.
    """
    fitting = [each for each, (its_task, _) in LOSSES.items() if its_task == task]
    chosen = fitting[0] if name == "auto" else name
    if chosen not in fitting:
        raise InputError(f"train.loss: {name} can't learn {task}; valid are {', '.join(fitting)}")
    return LOSSES[chosen][1]
