"""The heartbeat of a fit: progress, a few times a second at most."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import psutil
import torch

from modelyard.train.reporting import Reporter, Standing

BEAT_SECONDS = 0.5
"""Between two reports: often enough for a bar, rare enough to cost nothing."""


class Beat:
    """Reports progress when it is time.

    Args:
        report: where to.
        epochs: of the whole fit.
        batches: of an epoch.
        device: of the fit, whose memory is told.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        report: Reporter,
        *,
        epochs: int,
        batches: int,
        device: torch.device,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._report = report
        self._epochs = epochs
        self._batches = batches
        self._device = device
        self._clock = clock
        self._process = psutil.Process()
        self._last = self._now = clock()
        self._examples = 0

    def is_due(self, examples: int) -> bool:
        """Count a batch of so many examples; says whether it is time to report."""
        self._examples += examples
        self._now = self._clock()
        return self._now - self._last >= BEAT_SECONDS

    def report(self, *, epoch: int, done: int, loss: float, gradient_norm: float | None) -> None:
        """Report, once it is due.

        Args:
            epoch: the running one, from 1.
            done: batches of it that are finished.
            loss: mean over those.
            gradient_norm: the newest one; an infinite one isn't told.
        """
        on_gpu = self._device.type == "cuda"
        finite = gradient_norm is not None and math.isfinite(gradient_norm)
        self._report.progress(
            Standing(
                epoch=epoch,
                epochs=self._epochs,
                fraction=((epoch - 1) * self._batches + done) / (self._epochs * self._batches),
                epoch_fraction=done / self._batches,
                examples_per_second=self._examples / (self._now - self._last),
                loss=loss,
                gradient_norm=gradient_norm if finite else None,
                memory_bytes=self._process.memory_info().rss,
                device_memory_bytes=(torch.cuda.memory_allocated(self._device) if on_gpu else None),
            )
        )
        self._last, self._examples = self._now, 0
