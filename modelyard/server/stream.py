"""The event stream (server-sent events): each subscriber with its own cursor, woken by commits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor

from modelyard.api import ENDED
from modelyard.journal.rows import EventRow
from modelyard.server import views
from modelyard.server.changes import Changes
from modelyard.server.live import LiveJournal

HEARTBEAT_SECONDS = 15.0
PAGE = 500

LINGER_SECONDS = 1.0
"""After events more are likely, and a look that finds none costs as much as one that does; so
the next look waits for a ring, though not for ever: the end may have rung with the events."""

HEARTBEAT = b": heartbeat\n\n"
END = b"event: end\ndata: {}\n\n"
"""Said when a sweep has ended and all of its events were sent: no need to reconnect."""


class Stream:
    """Sends stored events to subscribers.

    Args:
        journal: read from each subscriber's cursor, in threads.
        changes: rings after each commit.
        heartbeat_seconds: longest silence on a line.
    """

    def __init__(
        self,
        journal: LiveJournal,
        changes: Changes,
        *,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
    ) -> None:
        self._journal = journal
        self._changes = changes
        self._heartbeat_seconds = heartbeat_seconds
        self._readers = ThreadPoolExecutor(max_workers=4, thread_name_prefix="stream")

    def close(self) -> None:
        """Free the threads; subscribers were let go by ``Changes.close``."""
        self._readers.shutdown(wait=False, cancel_futures=True)

    async def subscribe(self, sweep: str | None, after: int) -> AsyncGenerator[bytes, None]:
        """Chunks of a ``text/event-stream``: every event behind ``after``, in order, once.

        Args:
            sweep: only its events, until it has ended; None sends all for ever.
            after: id of the last event that the subscriber has.
        """
        yield HEARTBEAT  # the headers leave now, and the subscriber knows that it is connected
        with self._changes.watch() as woken:
            while not self._changes.closed:
                woken.clear()
                rows, ended = await self._read(sweep, after)
                if rows:
                    after = rows[-1].id
                    yield b"".join(_chunk(row) for row in rows)
                    if len(rows) < PAGE:
                        await _rung(woken, LINGER_SECONDS)
                elif ended:
                    yield END
                    return
                elif not await _rung(woken, self._heartbeat_seconds):
                    yield HEARTBEAT

    async def _read(self, sweep: str | None, after: int) -> tuple[list[EventRow], bool]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, self._page, sweep, after)

    def _page(self, sweep: str | None, after: int) -> tuple[list[EventRow], bool]:
        """The next events; where there are none, whether no more will come."""
        rows = self._journal.events(after, sweep=sweep, limit=PAGE)
        if rows or sweep is None or self._journal.sweep(sweep).state not in ENDED:
            return rows, False
        # What the sweep's tasks said between the two looks is stored by now.
        rows = self._journal.events(after, sweep=sweep, limit=PAGE)
        return rows, not rows


async def _rung(woken: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await woken.wait()
    except TimeoutError:
        return False
    return True


def _chunk(row: EventRow) -> bytes:
    return f"id: {row.id}\ndata: {views.event_view(row).model_dump_json()}\n\n".encode()
