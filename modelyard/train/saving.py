"""When a fit's checkpoints are written, and how they get to the reporter."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace

from modelyard.train import checkpoint
from modelyard.train.checkpoint import Checkpoint, Tensors
from modelyard.train.errors import CheckpointFailed
from modelyard.train.plan import NetworkPlan
from modelyard.train.reporting import Reporter


class Saving:
    """Writes a checkpoint where one is due and wanted; else remembers it, in case of a stop.

    Args:
        plan: says how often, and where to.
        report: says whether one is wanted, and is handed what was written.
    """

    def __init__(self, plan: NetworkPlan, report: Reporter) -> None:
        self._plan = plan
        self._report = report
        self._unsaved: Checkpoint | None = None
        self.saved_epoch = 0
        """The newest epoch with a checkpoint; 0 before the first. Ranks other than 0 don't know
        it: what they hold for saved, rank 0 may only remember."""

    def after(self, epoch: int, capture: Callable[[], Checkpoint]) -> None:
        """An epoch is finished.

        Args:
            epoch: from 1.
            capture: gives the fit as it stands; its tensors may change afterwards. With several
                ranks it gathers from all of them, so all have to call it alike, whatever their
                reporters want: once in each epoch, but for the plan's last where none is due.

        Raises:
            CheckpointFailed: it couldn't be kept.
        """
        due = epoch % self._plan.train.checkpoint_every == 0
        last = epoch == self._plan.epochs
        if due and (last or self._report.wants_checkpoint()):
            self._write(capture())
        elif not last:
            now = capture()
            self._unsaved = replace(
                now,
                model=_set_aside(now.model),
                optimizer=_set_aside(now.optimizer),
                hooks=_set_aside(now.hooks),
                average=_set_aside(now.average),
            )

    def before_stop(self) -> int:
        """Write what is remembered.

        A batch of an unfinished epoch can't be resumed from; the last finished epoch can.

        Returns:
            The newest epoch with a checkpoint.
        """
        if self._unsaved is not None:
            self._write(self._unsaved)
        return self.saved_epoch

    def _write(self, state: Checkpoint) -> None:
        if not self._plan.ranks.leads:
            self.saved_epoch, self._unsaved = state.epoch, None
            return
        folder = self._plan.scratch / f"{state.epoch:06d}"
        try:
            checkpoint.write(state, folder)
            self._report.checkpoint(state.epoch, folder)
        except OSError as error:
            raise CheckpointFailed(state.epoch, folder, error) from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        self.saved_epoch, self._unsaved = state.epoch, None


def copied(tensors: Tensors) -> Tensors:
    """The tensors as they are now, on their own memory."""
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def _set_aside(tensors: Tensors) -> Tensors:
    """Copies in the host's memory: the device's may have no room for a second set."""
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in tensors.items()}
