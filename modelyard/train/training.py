"""One pass over the training split."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn

from modelyard.train.beat import Beat
from modelyard.train.errors import Diverged, Stopped
from modelyard.train.hooks import BatchView, Hooks
from modelyard.train.losses import Loss
from modelyard.train.plan import NetworkPlan
from modelyard.train.reporting import Reporter
from modelyard.train.state import FitState
from modelyard.train.tensors import batch_sizes


class Training:
    """Takes a fit through its epochs.

    Args:
        plan: of the fit.
        state: of the fit; its steps are counted here.
        loss: what is minimised.
        rate: learning rate by step, counted from 0.
        hooks: shown each batch.
        report: told of the progress; asked before each batch whether to stop.
    """

    def __init__(
        self,
        plan: NetworkPlan,
        state: FitState,
        *,
        loss: Loss,
        rate: Callable[[int], float],
        hooks: Hooks,
        report: Reporter,
    ) -> None:
        self._train = plan.train
        self._state = state
        self._loss = loss
        self._rate = rate
        self._hooks = hooks
        self._report = report
        self._sizes = batch_sizes(len(state.train), plan.train.batch_size)
        self._beat = Beat(report, epochs=plan.epochs, steps=len(self._sizes))
        self.shuffle = torch.Generator().manual_seed(plan.seed)
        """Draws the order of the rows of each epoch."""

    def epoch(self, before_stop: Callable[[], int]) -> dict[str, float]:
        """One pass over the training split; its mean loss, and accuracy for classes.

        Args:
            before_stop: saves what a stop would lose, and gives the newest epoch that is saved.

        Raises:
            Stopped: the reporter said so.
            Diverged: a loss became NaN or infinite.
        """
        state, sizes = self._state, self._sizes
        features, targets = state.train.features, state.train.target
        classify = state.task == "classification"
        losses = torch.zeros(len(sizes), device=state.device)
        hits = torch.zeros((), dtype=torch.int64, device=state.device)
        order = torch.randperm(len(state.train), generator=self.shuffle).to(state.device)
        batches = torch.split(order[: sum(sizes)], self._train.batch_size)
        state.module.train()
        for number, batch in enumerate(batches):
            if self._report.should_stop():
                raise Stopped(before_stop())
            target = targets.index_select(0, batch)
            raw, loss = self._step(number, features.index_select(0, batch), target)
            losses[number] = loss
            if classify:
                hits += (raw.argmax(1) == target).sum()
            if self._beat.step(state.epoch, number + 1, sizes[number]):
                self._check(losses[: number + 1])
        self._check(losses)
        weights = torch.tensor(sizes, dtype=torch.float32, device=state.device)
        result = {"train_loss": float((losses * weights).sum() / weights.sum())}
        return {**result, "train_accuracy": int(hits) / sum(sizes)} if classify else result

    def _step(
        self, number: int, features: torch.Tensor, target: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """One step of the optimiser; the network's answers and their loss, without gradient."""
        state = self._state
        module, optimizer = state.module, state.optimizer
        state.step += 1
        rate = self._rate(state.step - 1)
        for group in optimizer.param_groups:
            group["lr"] = rate
        raw = module(features)
        loss = self._loss(raw, target)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if self._train.clip_norm is not None:
            nn.utils.clip_grad_norm_(module.parameters(), self._train.clip_norm)
        raw, loss = raw.detach(), loss.detach()
        if self._hooks.look_at_batches:
            self._hooks.batch(state, BatchView(number + 1, features, target, raw, loss))
        optimizer.step()
        return raw, loss

    def _check(self, losses: torch.Tensor) -> None:
        """Raise Diverged at the first of an epoch's losses that is no number."""
        for number, loss in enumerate(losses.tolist()):
            if not math.isfinite(loss):
                epoch = self._state.epoch
                step = (epoch - 1) * len(self._sizes) + number
                raise Diverged(
                    step=step + 1, epoch=epoch, learning_rate=self._rate(step), loss=loss
                )
