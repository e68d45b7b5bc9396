"""The wish that the server ends, and why."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from modelyard.errors import ModelyardError

LOG = logging.getLogger(__name__)

R = TypeVar("R")


class Ending:
    """The one place that says that the server is to end, and why. Belongs to the event loop."""

    def __init__(self) -> None:
        self._wanted = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self.error: ModelyardError | None = None

    def ask(self, reason: str) -> None:
        """End in good order."""
        if not self._wanted.is_set():
            LOG.info("ending: %s", reason)
            self._wanted.set()

    def fail(self, error: ModelyardError) -> None:
        """End because of an error; from any thread."""
        with suppress(RuntimeError):  # the loop has ended already
            self._loop.call_soon_threadsafe(self._fail, error)

    async def wait(self) -> None:
        """Until somebody asks."""
        await self._wanted.wait()

    async def unless(self, work: Coroutine[Any, Any, R]) -> R | None:
        """What ``work`` comes to; None, and it is cancelled, when somebody asks before."""
        task = asyncio.create_task(work)
        wanted = asyncio.create_task(self.wait())
        await asyncio.wait({task, wanted}, return_when=asyncio.FIRST_COMPLETED)
        wanted.cancel()
        if not task.done():
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            return None
        return task.result()

    def _fail(self, error: ModelyardError) -> None:
        if self.error is None:
            LOG.critical("ending at once: %s", error)
            self.error = error
        self._wanted.set()
