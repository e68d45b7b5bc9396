"""Ctrl-C and its like as one exception, raised once."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Any

from modelyard.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class InterruptOnce:
    """Within it the first signal raises ``Interrupted`` in the main thread; later ones do nothing.

    So whoever cleans up after the first is not cut off by a second Ctrl-C.
    """

    def __init__(self) -> None:
        self._before: dict[signal.Signals, Any] = {}
        self._armed = True

    def __enter__(self) -> InterruptOnce:
        for number in SIGNALS:
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def disarm(self) -> None:
        """From now on no signal raises: the end is being put in order."""
        self._armed = False

    def _handle(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - signal's
        if self._armed:
            self._armed = False
            raise Interrupted("Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name)
