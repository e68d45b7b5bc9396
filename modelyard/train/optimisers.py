"""Optimisers by their name in the experiment file."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch

# Every optimiser imports it at its first call, which takes seconds: paid here, once in the fork
# server, instead of in each trial.
import torch._dynamo
from torch import optim

from modelyard.experiment.model import Train

Weights = Iterable[torch.nn.Parameter]


# Fused: one call a step instead of some dozen a tensor; on small networks that is what counts.
def _adam(weights: Weights, train: Train) -> optim.Optimizer:
    return optim.Adam(weights, lr=train.learning_rate, weight_decay=train.weight_decay, fused=True)


def _adamw(weights: Weights, train: Train) -> optim.Optimizer:
    return optim.AdamW(weights, lr=train.learning_rate, weight_decay=train.weight_decay, fused=True)


def _sgd(weights: Weights, train: Train) -> optim.Optimizer:
    return optim.SGD(
        weights,
        lr=train.learning_rate,
        momentum=train.momentum,
        weight_decay=train.weight_decay,
        fused=True,
    )


OPTIMISERS: dict[str, Callable[[Weights, Train], optim.Optimizer]] = {
    "adam": _adam,
    "adamw": _adamw,
    "sgd": _sgd,
}
"""Weight decay is decoupled for adamw and part of the gradient for the others."""
