"""Who waits for news is woken by it: one count of changes for each sweep."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SOON_SECONDS = 0.2
"""How much later listeners hear of what they needn't know at once, together with all that is said
meanwhile: each look of a controller costs milliseconds, and trials that start speak all at once."""


class Changes:
    """Counts the changes of each sweep and wakes those who wait.

    ``notify``, ``posted`` and ``mentioned`` may be called from any thread; the rest belongs to the
    event loop.

    Args:
        loop: the server's event loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._counts: Counter[str] = Counter()
        self._waiting: set[asyncio.Event] = set()
        self._listeners: list[Callable[[str], None]] = []
        self._heard_soon: set[str] = set()
        self.closed = False

    def notify(self, *sweeps: str) -> None:
        """Something of these sweeps has changed and can be read by now."""
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits any more
            self._loop.call_soon_threadsafe(self._ring, sweeps)

    def posted(self, *sweeps: str) -> None:
        """Trials of these sweeps have posted: a change that listeners hear of too."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._tell, sweeps)

    def mentioned(self, *sweeps: str) -> None:
        """The same of what listeners needn't know at once: they hear of it a moment later."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._tell_soon, sweeps)

    def listen(self, listener: Callable[[str], None]) -> None:
        """Have ``listener`` called with a sweep's id whenever its trials have posted."""
        self._listeners.append(listener)

    def close(self) -> None:
        """No more changes will come: whoever waits is let go."""
        self.closed = True
        self._ring(())

    def count(self, sweep: str) -> int:
        """Changes of a sweep so far. Read it before the rows, so that none is missed."""
        return self._counts[sweep]

    @contextmanager
    def watch(self) -> Iterator[asyncio.Event]:
        """An event that every change sets; whoever waits on it clears it before reading."""
        woken = asyncio.Event()
        self._waiting.add(woken)
        try:
            yield woken
        finally:
            self._waiting.discard(woken)

    async def wait(self, sweep: str, known: int, seconds: float) -> None:
        """Until the sweep's count differs from ``known``, at most ``seconds``."""
        with self.watch() as woken, contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.count(sweep) == known and not self.closed:
                    woken.clear()
                    await woken.wait()

    def _tell(self, sweeps: tuple[str, ...]) -> None:
        self._ring(sweeps)
        for sweep in sweeps:
            self._be_heard(sweep)

    def _tell_soon(self, sweeps: tuple[str, ...]) -> None:
        self._ring(sweeps)
        for sweep in set(sweeps) - self._heard_soon:
            self._heard_soon.add(sweep)
            self._loop.call_later(SOON_SECONDS, self._be_heard, sweep)

    def _be_heard(self, sweep: str) -> None:
        self._heard_soon.discard(sweep)
        for listener in self._listeners:
            listener(sweep)

    def _ring(self, sweeps: tuple[str, ...]) -> None:
        self._counts.update(sweeps)
        for woken in self._waiting:
            woken.set()
