"""The training loop of a network.

Data and metrics stay on the device; the host waits for it once an epoch, and at each heartbeat.
"""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import nn

from modelyard.code.importing import Code
from modelyard.contract import Scalar
from modelyard.errors import InputError
from modelyard.evaluate.metrics import compute
from modelyard.experiment.model import Train
from modelyard.models.estimator import Array
from modelyard.models.family import Task
from modelyard.models.network import (
    PREDICT_BATCH,
    NetworkEstimator,
    Shape,
    build_module,
    outputs_of,
)
from modelyard.models.own_network import check_output
from modelyard.train import checkpoint
from modelyard.train.beat import Beat
from modelyard.train.checkpoint import Checkpoint, Tensors
from modelyard.train.errors import CheckpointFailed, Diverged, Stopped
from modelyard.train.losses import loss_for
from modelyard.train.monitor import Monitor
from modelyard.train.optimisers import OPTIMISERS
from modelyard.train.reporting import Reporter
from modelyard.train.schedules import Horizon, rates
from modelyard.train.tensors import Split, batch_sizes


@dataclass(frozen=True, kw_only=True)
class NetworkPlan:
    """What a network's fit is.

    Args:
        family, parameters, shape: what the module is built from.
        task: what it learns.
        train: of the recipe.
        metric: the objective's first; decides which epoch is best.
        epochs: full length.
        seed: of weights, dropout and the order of batches.
        snapshot: digest of the data.
        scratch: folder for checkpoints on their way to the reporter.
        code: where the module comes from, when it is the user's own.
    """

    family: str
    parameters: dict[str, Scalar]
    shape: Shape
    task: Task
    train: Train
    metric: str
    epochs: int
    seed: int
    snapshot: str
    scratch: Path
    code: Code | None = None

    @property
    def identity(self) -> dict[str, Any]:
        """What must be equal for a checkpoint to be resumed."""
        code = {} if self.code is None else {"code": self.code.digest}
        return {
            **code,
            "family": self.family,
            "parameters": self.parameters,
            "train": self.train.model_dump(mode="json"),
            "metric": self.metric,
            "epochs": self.epochs,
            "seed": self.seed,
            "snapshot": self.snapshot,
        }


class NetworkFit:
    """A fit that is under way. One thread's; ``run`` is called once.

    Args:
        plan: what to do.
        data: training split on the device.
        validation: validation split on the same device.
        report: told of every epoch.
    """

    def __init__(self, plan: NetworkPlan, data: Split, validation: Split, report: Reporter) -> None:
        self._plan = plan
        self._data = data
        self._validation = validation
        self._report = report
        self._device = data.features.device
        torch.manual_seed(plan.seed)
        self.module: nn.Module = build_module(
            plan.family, plan.parameters, plan.shape, plan.train.dropout, plan.code
        ).to(self._device)
        if plan.code is not None:
            check_output(plan.family, self.module, data.features[:2], plan.shape.outputs)
        self._optimizer = OPTIMISERS[plan.train.optimizer](self.module.parameters(), plan.train)
        self._loss = loss_for(plan.train.loss, plan.task)
        self._shuffle = torch.Generator().manual_seed(plan.seed)
        self._sizes = batch_sizes(len(data), plan.train.batch_size)
        _refuse_single_rows(self.module, self._sizes, data.features.shape[2:].numel())
        horizon = Horizon(epochs=plan.epochs, steps=len(self._sizes))
        self._rate = rates(plan.train.schedule, plan.train.learning_rate, horizon)
        self._beat = Beat(report, epochs=plan.epochs, steps=len(self._sizes))
        self._epoch = 0
        self._history: tuple[dict[str, float], ...] = ()
        self._monitor = Monitor(metric=plan.metric)
        self._best: Tensors = {}
        self._unsaved: Checkpoint | None = None
        self._saved_epoch = 0

    def resume(self, folder: Path) -> None:
        """Go on where a checkpoint was written.

        Raises:
            CheckpointUnusable: it is damaged, or of another fit.
        """
        found = checkpoint.read(folder, self._plan.identity)
        self.module.load_state_dict(found.model)
        checkpoint.restore_optimizer(self._optimizer, found.optimizer)
        checkpoint.restore_random(self._shuffle, found.random)
        self._epoch = self._saved_epoch = found.epoch
        self._history = found.history
        self._monitor = Monitor(**found.monitor)
        self._best = found.best

    def run(self) -> None:
        """Train to the last epoch, or to where early stopping ends it.

        Raises:
            Stopped: the reporter said so.
            Diverged: a loss became NaN or infinite.
            CheckpointFailed: a checkpoint couldn't be kept.
        """
        train = self._plan.train
        while self._epoch < self._plan.epochs and not self._monitor.exhausted(train.early_stopping):
            self._one_epoch(self._epoch + 1)
        if train.keep == "best":
            self.module.load_state_dict(self._best)

    @property
    def kept_epoch(self) -> int:
        """The epoch whose weights the module has after ``run``."""
        return self._monitor.best_epoch if self._plan.train.keep == "best" else self._epoch

    @property
    def kept_metrics(self) -> dict[str, float]:
        """The validation split's metrics of that epoch, plain names."""
        values = self._history[self.kept_epoch - 1]
        start = "validation_"
        return {k.removeprefix(start): v for k, v in values.items() if k.startswith(start)}

    def estimator(self) -> NetworkEstimator:
        """The fitted network."""
        return NetworkEstimator(self.module, self._plan.shape)

    def _one_epoch(self, epoch: int) -> None:
        trained = self._train(epoch)
        measured = self._measure(epoch)
        rate = self._rate(epoch * len(self._sizes) - 1)
        values = {
            **trained,
            **{f"validation_{name}": value for name, value in measured.items()},
            "learning_rate": rate,
        }
        rule = self._plan.train.early_stopping
        self._monitor = self._monitor.after(epoch, measured, rule.min_delta if rule else 0.0)
        if self._plan.train.keep == "best" and self._monitor.best_epoch == epoch:
            self._best = _copied(self.module.state_dict())
        self._history = (*self._history, values)
        self._epoch = epoch
        self._report.metrics(epoch, values)
        self._checkpoint()

    def _train(self, epoch: int) -> dict[str, float]:
        """One pass over the training split; its mean loss, and accuracy for classes."""
        module, optimizer, loss_of = self.module, self._optimizer, self._loss
        features, targets = self._data.features, self._data.target
        clip, sizes = self._plan.train.clip_norm, self._sizes
        classify = self._plan.task == "classification"
        losses = torch.zeros(len(sizes), device=self._device)
        hits = torch.zeros((), dtype=torch.int64, device=self._device)
        order = torch.randperm(len(self._data), generator=self._shuffle).to(self._device)
        batches = torch.split(order[: sum(sizes)], self._plan.train.batch_size)
        module.train()
        step = (epoch - 1) * len(sizes)
        for number, batch in enumerate(batches):
            if self._report.should_stop():
                self._stop()
            for group in optimizer.param_groups:
                group["lr"] = self._rate(step + number)
            target = targets.index_select(0, batch)
            raw = module(features.index_select(0, batch))
            loss = loss_of(raw, target)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            if clip is not None:
                nn.utils.clip_grad_norm_(module.parameters(), clip)
            optimizer.step()
            losses[number] = loss.detach()
            if classify:
                hits += (raw.detach().argmax(1) == target).sum()
            if self._beat.step(epoch, number + 1, sizes[number]):
                self._check(epoch, losses[: number + 1])
        self._check(epoch, losses)
        weights = torch.tensor(sizes, dtype=torch.float32, device=self._device)
        result = {"train_loss": float((losses * weights).sum() / weights.sum())}
        return {**result, "train_accuracy": int(hits) / sum(sizes)} if classify else result

    def _check(self, epoch: int, losses: torch.Tensor) -> None:
        """Raise Diverged at the first of an epoch's losses that is no number."""
        values = losses.tolist()
        for number, loss in enumerate(values):
            if not math.isfinite(loss):
                step = (epoch - 1) * len(self._sizes) + number
                raise Diverged(
                    step=step + 1, epoch=epoch, learning_rate=self._rate(step), loss=loss
                )

    def _measure(self, epoch: int) -> dict[str, float]:
        """The validation split's metrics; ``loss`` is the training's own."""
        self.module.eval()
        with torch.inference_mode():
            parts = torch.split(self._validation.features, PREDICT_BATCH)
            raw = torch.cat([self.module(part) for part in parts])
            loss = float(self._loss(raw, self._validation.target))
        last = epoch * len(self._sizes)
        if not math.isfinite(loss):
            raise Diverged(step=last, epoch=epoch, learning_rate=self._rate(last - 1), loss=loss)
        output: Array = outputs_of(raw, self._plan.shape)
        return {**compute(self._plan.task, self._validation.truth, output), "loss": loss}

    def _checkpoint(self) -> None:
        """Write the checkpoint where it is due; else remember it, in case of a stop."""
        if self._epoch % self._plan.train.checkpoint_every == 0:
            self._write(self._capture())
        elif self._epoch < self._plan.epochs:
            now = self._capture()
            self._unsaved = Checkpoint(
                **{
                    **vars(now),
                    "model": _copied(now.model),
                    "optimizer": _copied(now.optimizer),
                }
            )

    def _capture(self) -> Checkpoint:
        return Checkpoint(
            epoch=self._epoch,
            identity=self._plan.identity,
            history=self._history,
            monitor=self._monitor.to_json(),
            model=self.module.state_dict(),
            best=self._best,
            optimizer=checkpoint.optimizer_tensors(self._optimizer),
            random=checkpoint.random_tensors(self._shuffle),
        )

    def _write(self, state: Checkpoint) -> None:
        folder = self._plan.scratch / f"{state.epoch:06d}"
        try:
            checkpoint.write(state, folder)
            self._report.checkpoint(state.epoch, folder)
        except OSError as error:
            raise CheckpointFailed(state.epoch, folder, error) from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        self._saved_epoch, self._unsaved = state.epoch, None

    def _stop(self) -> NoReturn:
        """A batch of an unfinished epoch can't be resumed from; the last finished epoch can."""
        if self._unsaved is not None:
            self._write(self._unsaved)
        raise Stopped(self._saved_epoch)


def _refuse_single_rows(module: nn.Module, sizes: list[int], pixels: int) -> None:
    """One row of features has no spread to normalise by; one image has, over its pixels.

    Pooling leaves an image of several pixels at least two, so only one that has a single pixel
    from the start comes to a map without spread.
    """
    kinds = (nn.BatchNorm1d, nn.BatchNorm2d) if pixels == 1 else (nn.BatchNorm1d,)
    if 1 in sizes and any(isinstance(part, kinds) for part in module.modules()):
        raise InputError(
            "a batch of 1 row can't be normalised: raise train.batch_size (and the rows to learn "
            "from) above 1, or write norm: none under model.parameters"
        )


def _copied(tensors: Tensors) -> Tensors:
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}
