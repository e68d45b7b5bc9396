"""One pass over the training split."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from modelyard.train.beat import Beat
from modelyard.train.errors import Diverged, Stopped
from modelyard.train.plan import NetworkPlan
from modelyard.train.reporting import Reporter
from modelyard.train.schedules import Rates
from modelyard.train.state import FitState
from modelyard.train.stepping import Stepping
from modelyard.train.tally import Tally
from modelyard.train.tensors import batch_sizes


class Training:
    """Takes a fit through its epochs.

    Args:
        plan: of the fit.
        state: of the fit.
        stepping: takes the batches.
        rates: learning rate by step, to tell with a divergence.
        report: told of the progress; asked before each batch whether to stop.
    """

    def __init__(
        self,
        plan: NetworkPlan,
        state: FitState,
        *,
        stepping: Stepping,
        rates: Rates,
        report: Reporter,
    ) -> None:
        self._ranks = plan.ranks
        self._accumulate = plan.train.accumulate
        self._state = state
        self._stepping = stepping
        self._rates = rates
        self._report = report
        self._sizes = batch_sizes(len(state.train), plan.train.batch_size, plan.ranks.world)
        self._shares = _shares(self._sizes, self._accumulate)
        self._beat = Beat(report, epochs=plan.epochs, batches=len(self._sizes), device=state.device)
        self.shuffle = torch.Generator().manual_seed(plan.seed)
        """Draws the order of the rows of each epoch."""

    def epoch(self, before_stop: Callable[[], int]) -> dict[str, float]:
        """One pass over the training split.

        Args:
            before_stop: saves what a stop would lose, and gives the newest epoch that is saved.

        Returns:
            ``train_loss``, for classes ``train_accuracy``, and ``gradient_norm``: the mean over
            steps that are looked at.

        Raises:
            Stopped: the reporter said so.
            Diverged: a loss became NaN or infinite.
        """
        state, sizes, shares, ranks = self._state, self._sizes, self._shares, self._ranks
        classify = state.task == "classification"
        tally = Tally(len(sizes), classify, state.device)
        order = torch.randperm(len(state.train), generator=self.shuffle)[: sum(sizes)]
        state.module.train()
        self._stepping.begin()
        own = [ranks.share(whole) for whole in torch.split(order, sizes)]
        for number, (features, target) in enumerate(state.train.batches(own)):
            if self._report.should_stop():
                raise Stopped(before_stop())
            last = (number + 1) % self._accumulate == 0 or number + 1 == len(sizes)
            share = shares[number] * ranks.weight(len(target), sizes[number])
            raw, loss = self._stepping.take(features, target, share=share, last=last)
            tally.add(loss, raw, target)
            if self._beat.is_due(sizes[number]):
                self._tell(tally.losses)
        losses, hits = self._of_all_ranks(tally.losses), ranks.total(tally.hits)
        self._check(losses)
        weights = torch.tensor(sizes, dtype=torch.float32, device=state.device)
        result = {"train_loss": float((losses * weights).sum() / weights.sum())}
        if classify:
            result["train_accuracy"] = int(hits) / sum(sizes)
        return result | self._gradient_norm()

    def _of_all_ranks(self, losses: torch.Tensor) -> torch.Tensor:
        """The mean loss of each batch, from those of this rank's parts of them."""
        ranks = self._ranks
        if ranks.world == 1:
            return losses
        parts = [len(ranks.share(torch.empty(size))) / size for size in self._sizes]
        return ranks.total(losses * torch.tensor(parts, device=losses.device))

    def _tell(self, losses: torch.Tensor) -> None:
        """Report how it goes after some of an epoch's batches."""
        # With several ranks all have to find a divergence, and at the same place.
        values = self._check(losses) if self._ranks.world == 1 else losses.tolist()
        norm = self._stepping.newest_norm
        self._beat.report(
            epoch=self._state.epoch,
            done=len(values),
            loss=sum(values) / len(values),
            gradient_norm=None if norm is None else float(norm),
        )

    def _gradient_norm(self) -> dict[str, float]:
        """Left out where there is none that is finite, as when fp16 overflows in every step."""
        norms = [norm for norm in torch.stack(self._stepping.norms).tolist() if math.isfinite(norm)]
        return {"gradient_norm": sum(norms) / len(norms)} if norms else {}

    def _check(self, losses: torch.Tensor) -> list[float]:
        """The losses of an epoch so far; raises Diverged at the first that is no number."""
        values: list[float] = losses.tolist()
        for number, loss in enumerate(values):
            if not math.isfinite(loss):
                epoch = self._state.epoch
                step = (epoch - 1) * self._state.steps + number // self._accumulate
                raise Diverged(
                    step=step + 1, epoch=epoch, learning_rate=self._rates(step), loss=loss
                )
        return values


def _shares(sizes: list[int], accumulate: int) -> list[float]:
    """Of each batch, its share of the rows that go into its step."""
    steps = [sizes[start : start + accumulate] for start in range(0, len(sizes), accumulate)]
    return [size / sum(step) for step in steps for size in step]
