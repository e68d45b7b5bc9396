"""The heartbeat of a fit: progress, a few times a second at most."""

from __future__ import annotations

import time
from collections.abc import Callable

from modelyard.train.reporting import Reporter

BEAT_SECONDS = 0.5
"""Between two reports: often enough for a bar, rare enough to cost nothing."""


class Beat:
    """Reports progress when it is time.

    Args:
        report: where to.
        epochs: of the whole fit.
        steps: of an epoch.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        report: Reporter,
        *,
        epochs: int,
        steps: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._report = report
        self._epochs = epochs
        self._steps = steps
        self._clock = clock
        self._last = clock()
        self._examples = 0

    def step(self, epoch: int, done: int, examples: int) -> bool:
        """Count a batch; says whether progress was reported.

        Args:
            epoch: the running one, from 1.
            done: batches of it that are finished.
            examples: rows of this batch.
        """
        self._examples += examples
        now = self._clock()
        elapsed = now - self._last
        if elapsed < BEAT_SECONDS:
            return False
        fraction = ((epoch - 1) * self._steps + done) / (self._epochs * self._steps)
        self._report.progress(epoch, self._epochs, fraction, self._examples / elapsed)
        self._last, self._examples = now, 0
        return True
