"""Posts a launch's events from a thread of its own; the work never waits for the network.

A batch leaves at once when none is in flight; what comes up meanwhile goes with the next one.
While the intake is away events wait in the spool. Nothing here makes up a beat: when the work
is silent, so is the poster.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from modelyard.contract import Body, Event, Log, Reply, Stop
from modelyard.errors import Fenced, ServerRefused, ServerUnreachable
from modelyard.trial.intake import Backoff
from modelyard.trial.spool import Spool

BATCH_BYTES = 512 * 1024
LINE_LIMIT = 4096
"""Longest line that is sent, in characters; the process's own output has all of it."""
LINES_LIMIT = 500
"""Most lines in one event."""


class Poster:
    """The way of events from any thread to the intake.

    Args:
        send: posts one batch (JSON) and returns the reply; raises as ``Intake.post`` does.
        spool: holds what is not acknowledged; used by nobody else from now on.
        on_stop: called in the poster's thread when a reply asks the launch to end.
        on_end: called in the poster's thread when the intake wants no more of this launch
            (``Fenced``) or doesn't take what it gets (``ServerRefused``); posting ends there.
    """

    def __init__(
        self,
        *,
        send: Callable[[bytes], Reply],
        spool: Spool,
        on_stop: Callable[[Stop], None],
        on_end: Callable[[Fenced | ServerRefused], None],
    ) -> None:
        self._send = send
        self._spool = spool
        self._on_stop = on_stop
        self._on_end = on_end
        self._changed = threading.Condition()
        self._lines: list[str] = []
        self._sequence = 0
        self._earliest = 0.0
        self._deadline: float | None = None
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="poster", daemon=True)

    def start(self) -> None:
        """Begin to post."""
        self._thread.start()

    def post(self, body: Body) -> None:
        """Hand over an event; returns at once."""
        with self._changed:
            self._flush_lines()
            self._append(body)
            self._changed.notify()

    def log(self, line: str) -> None:
        """Hand over a printed line; lines that wait together travel as one event."""
        with self._changed:
            self._lines.append(line[:LINE_LIMIT])
            if len(self._lines) >= LINES_LIMIT:
                self._flush_lines()
            self._changed.notify()

    def close(self, deadline_seconds: float) -> bool:
        """Post what is left, without regard to the reply's interval.

        Args:
            deadline_seconds: when to give up.

        Returns:
            Whether the intake acknowledged every event.
        """
        with self._changed:
            self._flush_lines()
            self._deadline = time.monotonic() + deadline_seconds
            self._changed.notify()
        self._thread.join(deadline_seconds + 1.0)
        with self._changed:
            return not self._ended and not self._spool

    def _append(self, body: Body) -> None:
        self._sequence += 1
        self._spool.append(Event(sequence=self._sequence, at=time.time(), body=body))

    def _flush_lines(self) -> None:
        if self._lines:
            self._append(Log(lines=tuple(self._lines)))
            self._lines.clear()

    def _run(self) -> None:
        backoff = Backoff()
        while (batch := self._next_batch()) is not None:
            last, content = batch
            try:
                reply = self._send(content)
            except ServerUnreachable:
                self._wait(backoff.next_seconds())
            except (Fenced, ServerRefused) as error:
                with self._changed:
                    self._ended = True
                self._on_end(error)
                return
            else:
                self._take(reply)
                if reply.accepted >= last:
                    backoff.reset()
                else:
                    self._wait(backoff.next_seconds())

    def _next_batch(self) -> tuple[int, bytes] | None:
        """The next batch's last sequence number and JSON, when it is time; None at the end."""
        with self._changed:
            while True:
                now = time.monotonic()
                if self._deadline is not None and (now >= self._deadline or not self._waiting()):
                    return None
                if self._waiting() and (self._deadline is not None or now >= self._earliest):
                    break
                self._changed.wait(self._earliest - now if self._waiting() else None)
            self._flush_lines()
            events = self._spool.head(BATCH_BYTES)
            texts = b",".join(text for _, text in events)
            return events[-1][0], b'{"events":[%b],"dropped":%d}' % (texts, self._spool.dropped)

    def _waiting(self) -> bool:
        return bool(self._spool) or bool(self._lines)

    def _take(self, reply: Reply) -> None:
        with self._changed:
            self._spool.acknowledge(reply.accepted)
            self._earliest = time.monotonic() + reply.interval_seconds
        if reply.stop is not None:
            self._on_stop(reply.stop)

    def _wait(self, seconds: float) -> None:
        """Sleep, but not past the deadline; new events don't shorten it."""
        until = time.monotonic() + seconds
        with self._changed:
            while (now := time.monotonic()) < min(until, self._deadline or until):
                self._changed.wait(min(until, self._deadline or until) - now)
