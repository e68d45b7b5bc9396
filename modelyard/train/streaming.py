"""A split that isn't held in memory: its batches are read when their turn comes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeAlias

import torch

from modelyard.data.rows import Part, Rows
from modelyard.models.estimator import Array
from modelyard.models.network import PREDICT_BATCH, features_tensor
from modelyard.train.tensors import Batch

Wanted: TypeAlias = "Array | slice[int, int, None]"
"""Numbers of rows, or a run of them."""

AHEAD = 2
"""Batches that are read ahead for each worker."""


class Streamed:
    """Reads rows from the mapped snapshot, preprocesses them and sends them to the device.

    Threads do it, some batches ahead of the loop: numpy lets go of the interpreter while it
    copies and computes, and threads need no shared memory, of which a container has little.
    Batches come in their order whatever the threads do, and each row is preprocessed by itself,
    so a fit comes to the very numbers that it has with resident data.

    Args:
        part: raw rows of the split.
        transform: preprocesses them.
        target, truth: see ``Split``.
        workers: threads.
    """

    def __init__(
        self,
        part: Part,
        transform: Callable[[Rows], Array],
        *,
        target: torch.Tensor,
        truth: Array,
        workers: int,
    ) -> None:
        self._part = part
        self._transform = transform
        self.target = target
        self.truth = truth
        self._workers = workers

    def __len__(self) -> int:
        return len(self.truth)

    def first(self, count: int) -> torch.Tensor:
        """See ``Split``."""
        return self._read(slice(0, count)).to(self.target.device)

    def batches(self, numbers: Sequence[torch.Tensor]) -> Iterator[Batch]:
        """See ``Split``."""
        all_features = self._ahead([each.numpy() for each in numbers])
        for each, features in zip(numbers, all_features, strict=True):
            yield features, self.target.index_select(0, each.to(self.target.device))

    def parts(self) -> Iterator[torch.Tensor]:
        """See ``Split``."""
        starts = range(0, len(self), PREDICT_BATCH)
        return self._ahead([slice(start, start + PREDICT_BATCH) for start in starts])

    def _ahead(self, wanted: Sequence[Wanted]) -> Iterator[torch.Tensor]:
        """Features of each of the wanted rows, on the device."""
        pool = ThreadPoolExecutor(self._workers, thread_name_prefix="loader")
        todo = iter(wanted)
        reading: deque[Future[torch.Tensor]] = deque()
        try:
            for _ in range(AHEAD * self._workers):
                self._submit(pool, reading, todo)
            while reading:
                features = reading.popleft().result()
                self._submit(pool, reading, todo)
                yield features.to(self.target.device, non_blocking=True)
        finally:
            pool.shutdown(cancel_futures=True)

    def _submit(
        self,
        pool: ThreadPoolExecutor,
        reading: deque[Future[torch.Tensor]],
        todo: Iterator[Wanted],
    ) -> None:
        for wanted in todo:
            reading.append(pool.submit(self._read, wanted))
            return

    def _read(self, wanted: Wanted) -> torch.Tensor:
        features = features_tensor(self._transform(self._part.take(wanted)))
        # From pinned memory a GPU fetches while the loop goes on.
        return features.pin_memory() if self.target.is_cuda else features
