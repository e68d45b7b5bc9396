"""What a process costs while something goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psutil


@dataclass(kw_only=True)
class Cost:
    """What a process took while it was looked at."""

    cores: float = 0.0
    megabytes: float = 0.0
    _over: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def of(self, process: psutil.Process) -> Iterator[None]:
        """Look while the block runs: the mean of the CPU, the most of the memory."""
        thread = threading.Thread(target=self._watch, args=(process,))
        before, begun = sum(process.cpu_times()[:2]), time.monotonic()
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()
            spent = sum(process.cpu_times()[:2]) - before
            self.cores = spent / (time.monotonic() - begun)

    def _watch(self, process: psutil.Process) -> None:
        while not self._over.wait(0.5):
            self.megabytes = max(self.megabytes, process.memory_info().rss / 1e6)
