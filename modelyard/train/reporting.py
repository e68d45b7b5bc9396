"""What a fit tells the outside, and the one thing that it asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

PhaseName = Literal["loading", "compiling", "training", "fitting", "evaluating", "saving"]


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A fit in the middle of an epoch.

    Args:
        epoch: the running one, from 1, of ``epochs``.
        fraction: of the whole fit that is done, 0 to 1.
        epoch_fraction: of the running epoch that is done, 0 to 1.
        examples_per_second: since the last standing.
        loss: mean over the running epoch's batches so far.
        gradient_norm: the newest that was looked at, before clipping; None where none is finite.
        memory_bytes: resident size of the process.
        device_memory_bytes: what tensors take on the GPU; None without one.
    """

    epoch: int
    epochs: int
    fraction: float
    epoch_fraction: float
    examples_per_second: float
    loss: float
    gradient_norm: float | None
    memory_bytes: int
    device_memory_bytes: int | None


class Reporter(Protocol):
    """Takes a fit's reports. Calls come from the fitting thread and must return quickly."""

    def phase(self, name: PhaseName, steps: bool) -> None:
        """The fit entered a phase; ``steps`` says whether ``progress`` is to be expected in it."""

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Values at the end of epoch ``step`` (from 1; 1 for a classical fit).

        Keys carry their split: ``train_loss``, ``validation_accuracy``; also ``learning_rate``.
        """

    def progress(self, standing: Standing) -> None:
        """How far it is, and how it goes. At most twice a second."""

    def wants_checkpoint(self) -> bool:
        """Whether one may be written that is due; else the fit goes on, and remembers what would
        be in it."""

    def checkpoint(self, epoch: int, folder: Path) -> None:
        """A whole checkpoint lies in ``folder``, which is the fit's: move or copy it before
        returning, what is left is deleted.

        Raises:
            OSError: it couldn't be kept; the fit ends with ``CheckpointFailed``.
        """

    def should_stop(self) -> bool:
        """Whether to end now; asked before every batch, so it must cost next to nothing."""
