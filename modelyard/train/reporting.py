"""What a fit tells the outside, and the one thing that it asks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Protocol

PhaseName = Literal["loading", "compiling", "training", "fitting", "evaluating", "saving"]


class Reporter(Protocol):
    """Takes a fit's reports. Calls come from the fitting thread and must return quickly."""

    def phase(self, name: PhaseName, steps: bool) -> None:
        """The fit entered a phase; ``steps`` says whether ``progress`` is to be expected in it."""

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Values at the end of epoch ``step`` (from 1; 1 for a classical fit).

        Keys carry their split: ``train_loss``, ``validation_accuracy``; also ``learning_rate``.
        """

    def progress(self, epoch: int, epochs: int, fraction: float, rate: float | None) -> None:
        """How far: in epoch ``epoch`` of ``epochs``, ``fraction`` of the whole fit (0 to 1),
        ``rate`` in training examples per second. At most twice a second."""

    def checkpoint(self, epoch: int, folder: Path) -> None:
        """A whole checkpoint lies in ``folder``, which is the fit's: move or copy it before
        returning, what is left is deleted.

        Raises:
            OSError: it couldn't be kept; the fit ends with ``CheckpointFailed``.
        """

    def should_stop(self) -> bool:
        """Whether to end now; asked before every batch, so it must cost next to nothing."""
