"""One step of the optimiser: the batches that go into it, and what they do to the weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import nn

from modelyard.models.network import MODULES
from modelyard.train.augment import Augmentation, Mixed
from modelyard.train.averaging import Average
from modelyard.train.compiling import compiled, warm_up
from modelyard.train.finetuning import FACTOR
from modelyard.train.hooks import BatchView, Hooks
from modelyard.train.losses import Loss
from modelyard.train.plan import NetworkPlan
from modelyard.train.precision import Precision
from modelyard.train.schedules import Rates
from modelyard.train.state import FitState

NORM_EVERY = 16
"""Steps from one look at the gradient's norm to the next, over all epochs. Measured on the default
cnn with 64 digits a batch, one look takes 2 % of a step: so it costs 0.13 %."""


class Stepping:
    """Takes batches, and steps after every ``train.accumulate`` of them.

    Args:
        plan: of the fit.
        state: of the fit; its steps are counted here.
        loss: what is minimised.
        rates: learning rate by step.
        hooks: shown the last batch of each step.
    """

    def __init__(
        self, plan: NetworkPlan, state: FitState, *, loss: Loss, rates: Rates, hooks: Hooks
    ) -> None:
        train = plan.train
        self._clip = train.clip_norm
        self._channels_last = train.channels_last and len(plan.shape.inputs) == 3
        self._state = state
        self._loss = loss
        self._rates = rates
        self._hooks = hooks
        self._number = 0
        self._ranks = plan.ranks
        self._partly = plan.start is not None or plan.family not in MODULES
        self.forward: Callable[[torch.Tensor], torch.Tensor] = state.module
        self.precision = Precision(train.precision, state.device)
        self.average = None if train.ema is None else Average(state.module, train.ema)
        self.augmentation = (
            None
            if train.augment is None
            else Augmentation(
                train.augment, plan.shape.inputs, state.device, plan.seed + plan.ranks.rank
            )
        )
        self.norms: list[torch.Tensor] = []
        """Norms of the gradient that were looked at in this epoch, on the device."""
        self.newest_norm: torch.Tensor | None = None
        """The last one, maybe of the epoch before."""

    def join(self) -> None:
        """Join the other ranks' networks; before anything freezes weights of this one's."""
        self.forward = self._ranks.joined(self._state.module, partly=self._partly)

    def compile(self, features: Iterable[torch.Tensor]) -> None:
        """Compile the network for steps; it is measured as it is.

        Args:
            features: of a batch of each size that will come.

        Raises:
            InputError: it can't be compiled.
        """
        self.forward = compiled(self.forward, self._state.device)

        def once(batch: torch.Tensor) -> None:
            with self.precision.forward():
                raw = self.forward(self._placed(batch))
            raw.float().sum().backward()  # type: ignore[no-untyped-call]

        warm_up(self._state.module, once, features)

    def begin(self) -> None:
        """An epoch begins."""
        self._number = 0
        self.norms = []

    def take(
        self, features: torch.Tensor, target: torch.Tensor, *, share: float, last: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Take in a batch.

        Args:
            features, target: (n, …) and (n,), on the device.
            share: of the step's rows that are in this batch; 1 where a step is one batch.
            last: whether it is the step's last.

        Returns:
            The network's answers (n, outputs) and their loss, without gradient.
        """
        features, mixed = self._prepared(features)
        with self.precision.forward():
            raw = self.forward(features)
        raw = raw.float()
        loss = self._loss(raw, target) if mixed is None else mixed.loss(self._loss, raw, target)
        scaled = self.precision.scaler.scale(loss if share == 1 else loss * share)
        scaled.backward()  # type: ignore[no-untyped-call]
        raw, loss = raw.detach(), loss.detach()
        if last:
            self._step(lambda number: BatchView(number, features, target, raw, loss))
        return raw, loss

    def _prepared(self, features: torch.Tensor) -> tuple[torch.Tensor, Mixed | None]:
        mixed = None
        if self.augmentation is not None:
            features, mixed = self.augmentation(features)
        return self._placed(features), mixed

    def _placed(self, features: torch.Tensor) -> torch.Tensor:
        return features.to(memory_format=torch.channels_last) if self._channels_last else features

    def _step(self, view: Callable[[int], BatchView]) -> None:
        state, scaler = self._state, self.precision.scaler
        state.step += 1
        self._number += 1
        rate = self._rates(state.step - 1)
        for group in state.optimizer.param_groups:
            group["lr"] = rate * group.get(FACTOR, 1.0)
        if scaler.is_enabled():
            scaler.unscale_(state.optimizer)
        self._bound_gradient()
        if self._hooks.look_at_batches:
            self._hooks.batch(state, view(self._number))
        scaler.step(state.optimizer)
        scaler.update()
        state.optimizer.zero_grad(set_to_none=True)
        if self.average is not None:
            self.average.update(state.module, state.step)

    def _bound_gradient(self) -> None:
        """Clip, and look at the norm now and then, in each epoch once at least: as it is before
        it is clipped."""
        state = self._state
        in_turn = (state.step - 1) % NORM_EVERY == 0
        looked = in_turn or (self._number == state.steps and not self.norms)
        if not looked and self._clip is None:
            return
        weights = [w for group in state.optimizer.param_groups for w in group["params"]]
        norm = _norm([w.grad for w in weights if w.grad is not None])
        if self._clip is not None:
            nn.utils.clip_grads_with_norm_(weights, self._clip, norm)
        if looked:
            self.norms.append(norm)
            self.newest_norm = norm


def _norm(gradients: list[torch.Tensor]) -> torch.Tensor:
    """The norm () of all of them together.

    What ``nn.utils.get_total_norm`` computes for tensors of one device, without sorting them by
    device and type first: that takes twice as long as the norm of a small network.
    """
    norm: torch.Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
    return norm
