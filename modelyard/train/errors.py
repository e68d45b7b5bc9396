"""How a fit ends without a model.

    ModelyardError
    ├── Stopped              it was told to stop; the newest checkpoint is saved
    │   └── PeerLost         another process of the fit is gone; the same
    ├── Diverged             the loss became NaN or infinite
    ├── CheckpointFailed     a checkpoint couldn't be written; the one before is intact
    └── CheckpointUnusable   a checkpoint can't be read, or belongs to another fit

Running out of memory is not among them: ``MemoryError`` and ``torch.OutOfMemoryError`` pass
through to the trial program, which knows their exit code.
"""

from __future__ import annotations

from pathlib import Path

from modelyard.errors import ModelyardError


class Stopped(ModelyardError):
    """The fit ended because ``Reporter.should_stop`` said so.

    Args:
        epoch: the newest epoch with a checkpoint, where the next launch goes on; 0 when no
            epoch was finished.
        saved: whether this process knows that the checkpoint is saved: of several ranks rank 0
            alone does, and to the others ``epoch`` is the last that was to be saved.
    """

    why = "stopped as asked"

    def __init__(self, epoch: int, *, saved: bool = True) -> None:
        self.epoch = epoch
        self.saved = saved
        where = f"the checkpoint of epoch {epoch} is saved" if epoch else "no epoch was finished"
        super().__init__(
            f"{self.why}; {where if saved else 'rank 0 says which checkpoint is saved'}"
        )


class PeerLost(Stopped):
    """Another process that fits the same model is gone, or never came. Args as ``Stopped``."""

    why = "another process of this fit is lost"


class Diverged(ModelyardError):
    """The loss became NaN or infinite.

    Args:
        step: the optimiser's step, counted from 1 over all epochs.
        epoch: the epoch that it belongs to, from 1.
        learning_rate: the rate that the schedule gave for that step.
        loss: what the loss was.
        fold: of a trial with folds, the number of the fit, from 1.
    """

    def __init__(
        self, *, step: int, epoch: int, learning_rate: float, loss: float, fold: int | None = None
    ) -> None:
        self.step = step
        self.epoch = epoch
        self.learning_rate = learning_rate
        self.loss = loss
        where = f"epoch {epoch}" if fold is None else f"epoch {epoch} of fold {fold}"
        super().__init__(
            f"the loss became {loss} at step {step} ({where}) with a learning rate of "
            f"{learning_rate:.3g}: lower learning_rate, or set train.clip_norm"
        )


class CheckpointFailed(ModelyardError):
    """A checkpoint couldn't be written. What was written before is untouched."""

    def __init__(self, epoch: int, folder: Path, cause: OSError) -> None:
        self.epoch = epoch
        self.folder = folder
        super().__init__(
            f"the checkpoint of epoch {epoch} can't be written to {folder}: "
            f"{cause.strerror or cause}; earlier checkpoints are intact"
        )


class CheckpointUnusable(ModelyardError):
    """A checkpoint can't be resumed from."""

    def __init__(self, folder: Path, why: str) -> None:
        self.folder = folder
        super().__init__(f"the checkpoint in {folder} can't be resumed from: {why}")
