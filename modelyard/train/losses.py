"""Losses of a network, by task."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch.nn import functional

from modelyard.errors import InputError
from modelyard.experiment.training import Train
from modelyard.models.family import Task

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""(n, outputs) raw outputs and (n,) targets → scalar mean."""


def _mse(raw: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return functional.mse_loss(raw.squeeze(1), target)


def _mae(raw: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return functional.l1_loss(raw.squeeze(1), target)


def _huber(raw: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Huber 1964, with its bend at 1: one standard deviation of the target, which is scaled."""
    return functional.huber_loss(raw.squeeze(1), target)


NUMBERS: dict[str, Loss] = {"mse": _mse, "mae": _mae, "huber": _huber}
"""Losses of a regression."""

CLASSES = ("cross_entropy", "bce")
"""Losses of a classification. A network has an output for each class, also of two; then the
cross-entropy of their softmax is the binary cross-entropy of the sigmoid of their difference, so
both names mean one loss, and bce says that there are to be two classes."""

LOSSES: tuple[str, ...] = (*CLASSES, *NUMBERS)
"""All of them."""


def loss_for(train: Train, task: Task, target: torch.Tensor, classes: int) -> Loss:
    """What a fit minimises; ``auto`` is cross_entropy for classes and mse for numbers.

    Args:
        train: of the recipe.
        task: what is learnt.
        target: (n,) of the training split: ``class_weights: balanced`` counts its classes.
        classes: outputs of the network; not looked at for a regression.

    Raises:
        InputError: the loss, or what changes it, belongs to another task.
    """
    fitting = CLASSES if task == "classification" else tuple(NUMBERS)
    chosen = fitting[0] if train.loss == "auto" else train.loss
    if chosen not in fitting:
        raise InputError(f"train.loss: {chosen} can't learn {task}; valid are {', '.join(fitting)}")
    if task == "regression":
        _refuse_for_numbers(train)
        return NUMBERS[chosen]
    if chosen == "bce" and classes != 2:
        raise InputError(
            f"train.loss: bce is for two classes, and there are {classes}; use cross_entropy"
        )
    weights = balanced(target, classes) if train.class_weights == "balanced" else None
    smoothing = train.label_smoothing
    if weights is None and not smoothing:
        return functional.cross_entropy
    if weights is None:
        return partial(functional.cross_entropy, label_smoothing=smoothing)
    # Over the rows, not over their weights: only so do the parts of a batch add up to the whole.
    return lambda raw, target: (
        functional.cross_entropy(
            raw, target, weight=weights, label_smoothing=smoothing, reduction="sum"
        )
        / len(target)
    )


def balanced(target: torch.Tensor, classes: int) -> torch.Tensor:
    """(classes,) weights with which each class counts alike: rows / (classes · its own rows).

    As ``class_weight="balanced"`` of scikit-learn; a class without rows has 0.
    """
    counts = torch.bincount(target, minlength=classes).to(torch.float32)
    weights = len(target) / (classes * counts)
    return torch.where(counts > 0, weights, torch.zeros_like(weights))


def _refuse_for_numbers(train: Train) -> None:
    if train.label_smoothing or train.class_weights != "none":
        key = "label_smoothing" if train.label_smoothing else "class_weights"
        raise InputError(f"train.{key} is for classes, and the target is a number: leave it out")
