"""A limit on work that may be left unfinished, and a note of what was."""

from __future__ import annotations

import time


class Deadline:
    """So many seconds from now on.

    Args:
        seconds: from the construction.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds
        self.notes: list[str] = []

    @property
    def left(self) -> float:
        """Seconds that are left, 0 at least."""
        return max(0.0, self._end - time.monotonic())

    def over(self, what: str) -> bool:
        """Whether there is no time for some work; it is noted then."""
        if self.left > 0:
            return False
        self.notes.append(f"{what} was left out after explain.seconds = {self._seconds:g}.")
        return True
