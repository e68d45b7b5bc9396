"""Optimisers by their name in the experiment file."""

from __future__ import annotations

from collections.abc import Callable

# Every optimiser imports it at its first call, which takes seconds: paid here, once in the fork
# server, instead of in each trial.
import torch._dynamo  # noqa: F401 imported for that alone
from torch import nn, optim

from modelyard.experiment.training import Train
from modelyard.train.muon import MuonWithAdamW


# Fused: one call a step instead of some dozen a tensor; on small networks that is what counts.
def _adam(module: nn.Module, train: Train) -> optim.Optimizer:
    return optim.Adam(
        module.parameters(), lr=train.learning_rate, weight_decay=train.weight_decay, fused=True
    )


def _adamw(module: nn.Module, train: Train) -> optim.Optimizer:
    return optim.AdamW(
        module.parameters(), lr=train.learning_rate, weight_decay=train.weight_decay, fused=True
    )


def _sgd(module: nn.Module, train: Train) -> optim.Optimizer:
    return optim.SGD(
        module.parameters(),
        lr=train.learning_rate,
        momentum=train.momentum,
        weight_decay=train.weight_decay,
        fused=True,
    )


def _rmsprop(module: nn.Module, train: Train) -> optim.Optimizer:
    return optim.RMSprop(
        module.parameters(),
        lr=train.learning_rate,
        momentum=train.momentum,
        weight_decay=train.weight_decay,
        foreach=True,
    )


def _muon(module: nn.Module, train: Train) -> optim.Optimizer:
    return MuonWithAdamW(
        module,
        learning_rate=train.learning_rate,
        momentum=train.momentum,
        weight_decay=train.weight_decay,
    )


OPTIMISERS: dict[str, Callable[[nn.Module, Train], optim.Optimizer]] = {
    "adam": _adam,
    "adamw": _adamw,
    "sgd": _sgd,
    "rmsprop": _rmsprop,
    "muon": _muon,
}
"""Weight decay is decoupled for adamw and muon and part of the gradient for the others."""
