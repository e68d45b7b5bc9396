"""One call in a thread of its own, whose result is taken later."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

NAP_SECONDS = 0.1
"""A main thread that waits looks up this often, so that a signal is served at once."""


class Background(Generic[T]):
    """Starts a call at once, in a daemon thread, so that it never holds up an exit.

    Args:
        call: what to do; its error is kept for ``result``.
    """

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._value: list[T] = []
        self._error: BaseException | None = None
        self._done = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        try:
            self._value.append(self._call())
        except BaseException as error:
            self._error = error
        finally:
            self._done.set()

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self._done.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait for its end at most so long; says whether it has ended."""
        return self._done.wait(seconds)

    def result(self) -> T:
        """Wait for its end; returns what it returned, or raises what it raised."""
        while not self._done.wait(NAP_SECONDS):
            pass
        if self._error is not None:
            raise self._error
        return self._value[0]
