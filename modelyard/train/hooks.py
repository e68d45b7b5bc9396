"""What may look into a fit, or take part in it, from outside of the loop.

A hook is an object with four methods, all of which do nothing unless they are overridden::

    class WeightNorm(Hook):
        def epoch(self, fit: FitView, values: Mapping[str, float]) -> Mapping[str, float]:
            with torch.no_grad():
                total = sum(weight.square().sum() for weight in fit.module.parameters())
            return {"weight_norm": float(total) ** 0.5}

    NetworkFit(plan, data, validation, report, hooks=(WeightNorm(),)).run()

Hooks are called in their order, from the fitting thread, and what they raise ends the fit. A hook
that changes anything between epochs (frozen layers, a running mean) gives it back from ``state``:
then a resumed fit is the unbroken one. A hook that draws random numbers draws them from a
generator of its own, or it changes the fit's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import nn

from modelyard.models.family import Task
from modelyard.train.tensors import Split


class FitView(Protocol):
    """A fit that is under way, to read."""

    @property
    def module(self) -> nn.Module:
        """The network, on ``device``."""
        ...

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """Of its weights; each group's ``lr`` is that of the running step."""
        ...

    @property
    def epoch(self) -> int:
        """The running one, from 1; in ``Hook.start`` the last finished one, 0 for a fresh fit."""
        ...

    @property
    def epochs(self) -> int:
        """Full length of the fit, also of one that ends early."""
        ...

    @property
    def step(self) -> int:
        """The optimiser's running step, from 1 over all epochs."""
        ...

    @property
    def steps(self) -> int:
        """The optimiser's steps of an epoch."""
        ...

    @property
    def task(self) -> Task:
        """What is learnt."""
        ...

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        ...

    @property
    def train(self) -> Split:
        """The split that is fitted."""
        ...

    @property
    def validation(self) -> Split:
        """The split that every epoch is measured on."""
        ...


@dataclass(frozen=True, slots=True)
class BatchView:
    """One optimiser step's batch, after the backward pass.

    Args:
        number: of the step within its epoch, from 1.
        features: (n, …) as the network saw them, on the device.
        target: (n,) class indices or standardised values, on the device.
        raw: (n, outputs) what the network answered; without gradient.
        loss: scalar on the device; reading it (``float``) waits for the device.
    """

    number: int
    features: torch.Tensor
    target: torch.Tensor
    raw: torch.Tensor
    loss: torch.Tensor


class Hook:
    """Base of every hook: override what is needed, the rest does nothing."""

    only_looks: ClassVar[bool] = False
    """Whether its ``end`` leaves the weights as they are: then the network isn't asked again what
    it answers to the validation split."""

    def start(self, fit: FitView) -> None:
        """Before the first epoch of this process, on a fit that goes on from a checkpoint too.

        There the weights are those of the checkpoint already, and ``restore`` follows.
        """

    def batch(self, fit: FitView, batch: BatchView) -> None:
        """After a backward pass and clipping, before the optimiser's step: gradients are there.

        Must not wait for the device (no ``float``, ``item``, ``tolist`` or ``print`` of a
        tensor): keep tensors, and read them in ``epoch``.
        """

    def epoch(self, fit: FitView, values: Mapping[str, float]) -> Mapping[str, float] | None:
        """After an epoch was trained and measured, before its metrics are told.

        Args:
            values: the epoch's metrics as they are told: ``train_loss``,
                ``validation_accuracy``, …, ``learning_rate``, and what earlier hooks added.

        Returns:
            Metrics to add. A name that is taken is an error.
        """

    def end(self, fit: FitView) -> None:
        """After the last epoch, with the weights that are kept. Not called for a fit that is
        stopped or fails."""

    def state(self) -> dict[str, torch.Tensor]:
        """What a checkpoint has to hold so that the fit can go on; asked between two epochs."""
        return {}

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Take back what ``state`` gave, on the CPU; only called where it gave something."""


class Hooks:
    """Several hooks as one.

    Args:
        hooks: called in this order.
    """

    def __init__(self, hooks: Sequence[Hook] = ()) -> None:
        self._all = tuple(hooks)
        # Asked once: a loop without such hooks pays nothing for them.
        self._batch = tuple(h for h in self._all if type(h).batch is not Hook.batch)

    @property
    def look_at_batches(self) -> bool:
        """Whether any of them overrides ``batch``."""
        return bool(self._batch)

    @property
    def change_the_end(self) -> bool:
        """Whether any of them may change the weights in ``end``."""
        return any(type(h).end is not Hook.end and not h.only_looks for h in self._all)

    def start(self, fit: FitView, states: Mapping[str, torch.Tensor]) -> None:
        """Start each, and give it what it kept.

        Args:
            states: that ``state`` gave; empty for a fresh fit.
        """
        for number, hook in enumerate(self._all):
            hook.start(fit)
            begin = f"{number}."
            own = {k.removeprefix(begin): v for k, v in states.items() if k.startswith(begin)}
            if own:
                hook.restore(own)

    def batch(self, fit: FitView, batch: BatchView) -> None:
        """See ``Hook.batch``."""
        for hook in self._batch:
            hook.batch(fit, batch)

    def epoch(self, fit: FitView, values: Mapping[str, float]) -> dict[str, float]:
        """The epoch's metrics with what the hooks add.

        Raises:
            ValueError: two give the same name.
        """
        told = dict(values)
        for hook in self._all:
            added = hook.epoch(fit, told) or {}
            if taken := sorted(added.keys() & told.keys()):
                raise ValueError(
                    f"{type(hook).__name__} gives {', '.join(taken)}, which the epoch has already"
                )
            told |= added
        return told

    def end(self, fit: FitView) -> None:
        """See ``Hook.end``."""
        for hook in self._all:
            hook.end(fit)

    def state(self) -> dict[str, torch.Tensor]:
        """What each keeps, by ``<number>.<name>``."""
        return {
            f"{number}.{name}": tensor
            for number, hook in enumerate(self._all)
            for name, tensor in hook.state().items()
        }
