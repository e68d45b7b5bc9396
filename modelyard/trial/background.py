"""Who stores a fit's checkpoints: the fitting thread where the store is a folder, and for a far
one a thread beside the training, which goes on."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from modelyard.trial.checkpoints import Checkpoints

SHARE = 0.03
"""Of the time, at most, in which storing checkpoints may take the interpreter from the training."""


@dataclass(frozen=True, kw_only=True)
class _Order:
    epoch: int
    folder: Path
    best: int | None


class Keeper(Protocol):
    """Takes the checkpoints of one fit, in its thread."""

    def wants(self) -> bool:
        """Whether now is a time for one; any is taken at any time."""

    def commit(self, epoch: int, folder: Path, best: int | None) -> None:
        """Take a checkpoint's files; see ``Checkpoints.commit``.

        Raises:
            Exception: it, or one before it, couldn't be stored.
        """

    def finish(self) -> None:
        """Return when all are stored.

        Raises:
            Exception: one couldn't be.
        """


class ForegroundCheckpoints:
    """Stores each checkpoint before the fit goes on.

    Args:
        checkpoints: stores them.
        on_stored: called with epoch and URI of each.
    """

    def __init__(self, checkpoints: Checkpoints, on_stored: Callable[[int, str], None]) -> None:
        self._checkpoints = checkpoints
        self._on_stored = on_stored

    def wants(self) -> bool:
        """See ``Keeper.wants``: always."""
        return True

    def commit(self, epoch: int, folder: Path, best: int | None) -> None:
        """See ``Keeper.commit``."""
        self._on_stored(epoch, self._checkpoints.commit(epoch, folder, best))

    def finish(self) -> None:
        """See ``Keeper.finish``: they are."""


class BackgroundCheckpoints:
    """Stores checkpoints from a thread: one at a time, and of those that wait only the newest.

    None is wanted before the one before is stored, and for as long after it as its share of the
    interpreter asks: where epochs are short not each of them has a checkpoint.

    Called by the fitting thread only.

    Args:
        checkpoints: stores them; used by this thread alone from now on.
        folder: where a checkpoint's files wait; on the file system of the fit's own.
        on_stored: called from the thread with epoch and URI of each that is stored.
    """

    def __init__(
        self, checkpoints: Checkpoints, folder: Path, on_stored: Callable[[int, str], None]
    ) -> None:
        self._checkpoints = checkpoints
        self._folder = folder
        self._on_stored = on_stored
        self._changed = threading.Condition()
        self._waiting: _Order | None = None
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._wanted_at = 0.0

    def wants(self) -> bool:
        """See ``Keeper.wants``; also where the next ``commit`` has a failure to raise."""
        with self._changed:
            idle = self._thread is None and time.monotonic() >= self._wanted_at
            return idle or self._error is not None

    def commit(self, epoch: int, folder: Path, best: int | None) -> None:
        """See ``Keeper.commit``. Raises what an earlier one failed with."""
        kept = self._folder / folder.name
        self._folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(kept, ignore_errors=True)
        folder.rename(kept)
        with self._changed:
            self._raise()
            if self._waiting is not None:
                shutil.rmtree(self._waiting.folder, ignore_errors=True)
            self._waiting = _Order(epoch=epoch, folder=kept, best=best)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="checkpoints", daemon=True)
                self._thread.start()

    def finish(self) -> None:
        """See ``Keeper.finish``."""
        with self._changed:
            self._changed.wait_for(lambda: self._thread is None)
            self._raise()

    def _run(self) -> None:
        while (order := self._next()) is not None:
            began = time.thread_time()
            try:
                uri = self._checkpoints.commit(order.epoch, order.folder, order.best)
                self._on_stored(order.epoch, uri)
            except BaseException as error:
                with self._changed:
                    self._error = error
            finally:
                shutil.rmtree(order.folder, ignore_errors=True)
                self._wanted_at = time.monotonic() + (time.thread_time() - began) / SHARE

    def _next(self) -> _Order | None:
        with self._changed:
            order, self._waiting = self._waiting, None
            if order is None or self._error is not None:
                self._thread = None
                self._changed.notify_all()
                return None
            return order

    def _raise(self) -> None:
        if self._error is not None:
            error, self._error = self._error, None
            raise error
