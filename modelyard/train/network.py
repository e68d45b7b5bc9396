"""The fit of a network, epoch by epoch.

Data and metrics stay on the device; the host waits for it once an epoch, and at each heartbeat.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from modelyard.models.estimator import Array
from modelyard.models.network import NetworkEstimator, outputs_of
from modelyard.train import checkpoint
from modelyard.train.building import build
from modelyard.train.checkpoint import Checkpoint, Tensors
from modelyard.train.errors import PeerLost
from modelyard.train.finetuning import spread_rates
from modelyard.train.hooks import Hook, Hooks
from modelyard.train.losses import loss_for
from modelyard.train.measure import answers, measure
from modelyard.train.monitor import Monitor
from modelyard.train.optimisers import OPTIMISERS
from modelyard.train.plan import NetworkPlan
from modelyard.train.ranks import is_lost_peer
from modelyard.train.reporting import Reporter
from modelyard.train.saving import Saving, copied
from modelyard.train.schedules import Horizon, Rates
from modelyard.train.state import FitState
from modelyard.train.stepping import Stepping
from modelyard.train.tensors import Split, batch_sizes
from modelyard.train.training import Training


class NetworkFit:
    """A fit that is under way. One thread's; ``run`` is called once.

    Args:
        plan: what to do.
        data: training split, its batches on the device.
        validation: validation split, on the same device.
        report: told of every epoch.
        hooks: called at the start, at each batch and epoch, and at the end, in this order.
    """

    def __init__(
        self,
        plan: NetworkPlan,
        data: Split,
        validation: Split,
        report: Reporter,
        hooks: Sequence[Hook] = (),
    ) -> None:
        self._plan = plan
        self._report = report
        sizes = batch_sizes(len(data), plan.train.batch_size, plan.ranks.world)
        self.module = build(plan, data, sizes)
        self._loss = loss_for(plan.train, plan.task, data.target, plan.shape.outputs)
        steps = -(-len(sizes) // plan.train.accumulate)
        self._state = _at_start(plan, self.module, data, validation, steps)
        if plan.start is not None:
            spread_rates(self._state.optimizer, self.module, plan.start.section.rate_factor)
            hooks = (*plan.start.hooks(), *hooks)
        self._hooks = Hooks(hooks)
        self._rates = Rates(
            plan.train.schedule,
            plan.train.learning_rate,
            Horizon(epochs=plan.epochs, steps=steps),
        )
        self._stepping = Stepping(
            plan, self._state, loss=self._loss, rates=self._rates, hooks=self._hooks
        )
        self._training = Training(
            plan, self._state, stepping=self._stepping, rates=self._rates, report=report
        )
        if not plan.ranks.leads:
            torch.manual_seed(plan.seed + plan.ranks.rank)  # other rows, other dropout
        self._saving = Saving(plan, report)
        self._history: tuple[dict[str, float], ...] = ()
        self._monitor = Monitor(metric=plan.metric)
        self._best: Tensors = {}
        self._newest: Array | None = None
        self._kept: Array | None = None
        self._hook_states: Tensors = {}

    def resume(self, folder: Path) -> None:
        """Go on where a checkpoint was written.

        Raises:
            CheckpointUnusable: it is damaged, or of another fit.
        """
        found = checkpoint.read(folder, self._plan.identity)
        self.module.load_state_dict(found.model)
        checkpoint.restore_optimizer(self._state.optimizer, found.optimizer)
        checkpoint.restore_random(
            self._generators(), checkpoint.of_rank(found.random, self._plan.ranks.rank)
        )
        self._state.epoch = self._saving.saved_epoch = found.epoch
        self._state.step = found.epoch * self._state.steps
        if self._stepping.average is not None:
            self._stepping.average.restore(found.average, self._state.step)
        self._rates.restore(found.schedule)
        self._stepping.precision.restore(found.scaler)
        self._history = found.history
        self._monitor = Monitor(**found.monitor)
        self._best = found.best
        self._hook_states = found.hooks

    def _compile(self) -> None:
        """Compile the network for its steps; takes seconds to minutes."""
        data, ranks = self._state.train, self._plan.ranks
        sizes = batch_sizes(len(data), self._plan.train.batch_size, ranks.world)
        # One for each size of a whole batch: every rank has to take equally many.
        own = [len(ranks.share(torch.empty(size))) for size in sorted(set(sizes), reverse=True)]
        self._stepping.compile(
            features for features, _ in data.batches([torch.arange(n) for n in own])
        )

    def run(self) -> None:
        """Train to the last epoch, or to where early stopping ends it.

        Raises:
            Stopped: the reporter said so.
            PeerLost: another rank is gone.
            Diverged: a loss became NaN or infinite.
            CheckpointFailed: a checkpoint couldn't be kept.
            InputError: the network can't be compiled.
            ModelyardError: several ranks go on from different epochs.
        """
        try:
            self._run()
        except RuntimeError as error:
            # Wherever ranks wait for each other: in a step, and between two epochs.
            if self._plan.ranks.world > 1 and is_lost_peer(error):
                raise PeerLost(self._saving.before_stop(), saved=self._plan.ranks.leads) from error
            raise

    def _run(self) -> None:
        train, state = self._plan.train, self._state
        # First over gloo, which notices where a rank is gone: NCCL would wait for it.
        self._plan.ranks.agree(state.epoch, "the epoch that they go on from")
        self._stepping.join()
        self._hooks.start(state, self._hook_states)
        if train.compile:
            # After the hooks, which may freeze weights or look into layers.
            self._report.phase("compiling", False)
            self._compile()
        self._report.phase("training", True)
        while state.epoch < state.epochs and not self._monitor.exhausted(train.early_stopping):
            state.epoch += 1
            self._one_epoch(state.epoch)
        if train.keep == "best":
            self.module.load_state_dict(self._best)
        elif self._stepping.average is not None:
            self.module.load_state_dict(self._stepping.average.module.state_dict())
        self._hooks.end(state)
        if self._hooks.change_the_end:
            self._kept = None

    @property
    def history(self) -> tuple[dict[str, float], ...]:
        """Metrics of each epoch, first to last, those before a resumption too."""
        return self._history

    @property
    def kept_epoch(self) -> int:
        """The epoch whose weights the module has after ``run``."""
        return self._monitor.best_epoch if self._plan.train.keep == "best" else self._state.epoch

    @property
    def kept_metrics(self) -> dict[str, float]:
        """The validation split's metrics of that epoch, plain names."""
        values = self._history[self.kept_epoch - 1]
        start = "validation_"
        return {k.removeprefix(start): v for k, v in values.items() if k.startswith(start)}

    def answers(self) -> Array:
        """The fitted network's answers to the validation split, as ``Estimator.predict``."""
        # Known from measuring, unless by another rank, before a resumption or a hook's change.
        if self._kept is not None:
            return self._kept
        return outputs_of(answers(self.module, self._state.validation), self._plan.shape)

    def estimator(self) -> NetworkEstimator:
        """The fitted network."""
        return NetworkEstimator(self.module, self._plan.shape)

    def _one_epoch(self, epoch: int) -> None:
        trained = self._training.epoch(self._saving.before_stop)
        rate = self._rates(self._state.step - 1)
        module = self._measured
        measured = self._plan.ranks.from_first(lambda: self._measure(module, rate))
        values = self._hooks.epoch(
            self._state,
            {
                **trained,
                **{f"validation_{name}": value for name, value in measured.items()},
                "learning_rate": rate,
            },
        )
        rule = self._plan.train.early_stopping
        self._monitor = self._monitor.after(epoch, measured, rule.min_delta if rule else 0.0)
        if self.kept_epoch == epoch:
            self._kept = self._newest
            if self._plan.train.keep == "best":
                self._best = copied(module.state_dict())
        self._newest = None
        self._rates.after(measured["loss"])
        self._history = (*self._history, values)
        self._report.metrics(epoch, values)
        self._saving.after(epoch, self._capture)

    def _measure(self, module: nn.Module, rate: float) -> dict[str, float]:
        plan = self._plan
        values, self._newest = measure(
            self._state, module, plan.shape, self._loss, rate, plan.measured
        )
        return values

    @property
    def _measured(self) -> nn.Module:
        """The network whose metrics count: with the averaged weights, where there are such."""
        average = self._stepping.average
        return self.module if average is None else average.module

    def _generators(self) -> dict[str, torch.Generator]:
        augmentation = self._stepping.augmentation
        augment = {} if augmentation is None else {"augment": augmentation.generator}
        return {"shuffle": self._training.shuffle, **augment}

    def _capture(self) -> Checkpoint:
        average = self._stepping.average
        return Checkpoint(
            epoch=self._state.epoch,
            identity=self._plan.identity,
            history=self._history,
            monitor=self._monitor.to_json(),
            model=self.module.state_dict(),
            best=self._best,
            optimizer=checkpoint.optimizer_tensors(self._state.optimizer),
            random=checkpoint.with_ranks(
                self._plan.ranks.of_all(checkpoint.random_tensors(self._generators()))
            ),
            hooks=self._hooks.state(),
            average={} if average is None else average.module.state_dict(),
            schedule=self._rates.to_json(),
            scaler=self._stepping.precision.to_json(),
        )


def _at_start(
    plan: NetworkPlan, module: nn.Module, data: Split, validation: Split, steps: int
) -> FitState:
    """Where a fit of so many optimiser's steps an epoch stands before its first."""
    return FitState(
        module=module,
        optimizer=OPTIMISERS[plan.train.optimizer](module, plan.train),
        task=plan.task,
        device=data.target.device,
        train=data,
        validation=validation,
        epochs=plan.epochs,
        steps=steps,
    )
