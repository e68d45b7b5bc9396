"""Our server's real routes on a real port, over a real journal, for stores that ask it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modelyard.server.app import create_app
from modelyard.server.changes import Changes
from modelyard.server.core import Core
from modelyard.server.ending import Ending
from modelyard.server.parts import build
from modelyard.server.web import Web, listen, local_address
from modelyard.settings import Settings
from tests.unit.serverkit import open_journal

DEADLINE_SECONDS = 120.0


class Served:
    """A server that answers in a thread of its own.

    Args:
        settings: its home is made.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self.address = ""
        self.core: Core

    def start(self) -> None:
        """Return when it answers."""
        self._thread.start()
        assert self._ready.wait(DEADLINE_SECONDS)

    def stop(self) -> None:
        """Return when it has ended."""
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(DEADLINE_SECONDS)

    async def _serve(self) -> None:
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        home: Path = self._settings.paths.home
        home.mkdir(parents=True, exist_ok=True)
        changes = Changes(self._loop)
        journal = open_journal(home, changes)
        self.core = build(
            self._settings,
            journal=journal,
            changes=changes,
            epoch=1,
            address="http://127.0.0.1:1",
            run=None,
            ending=Ending(),
        )
        with listen(0) as listener:
            self.address = local_address(listener)
            web = Web(create_app(self.core), listener)
            self.core.intake.start()
            await web.start()
            self._ready.set()
            await self._ended.wait()
            await web.stop()
        await asyncio.to_thread(self.core.intake.stop)
        self.core.artifacts.close()
        journal.close()


@contextmanager
def served(settings: Settings) -> Iterator[Served]:
    """A server until the block ends."""
    server = Served(settings)
    server.start()
    try:
        yield server
    finally:
        server.stop()
