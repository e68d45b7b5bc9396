"""A limit on work that may be left unfinished, and a note of what was."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable


class Deadline:
    """So many seconds from now on, or less where somebody wants an end.

    Args:
        seconds: from the construction.
        ending: whether the work is to end before its time.
    """

    def __init__(self, seconds: float, ending: Callable[[], bool] = lambda: False) -> None:
        self._told = f"{seconds:g} s (explain.seconds)"
        self._ending = ending
        self._end = time.monotonic() + seconds
        self.notes: list[str] = []

    def half(self) -> Deadline:
        """A deadline at half of the time that is left, with the same notes."""
        other = copy.copy(self)
        other._end = time.monotonic() + self.left / 2
        other._told = f"half of {self._told}"
        return other

    @property
    def left(self) -> float:
        """Seconds that are left, 0 at least."""
        return max(0.0, self._end - time.monotonic())

    def over(self, what: str) -> bool:
        """Whether there is no time for some work; it is noted then."""
        if self._ending():
            self.notes.append(f"{what} was left out, as the launch was told to stop.")
            return True
        if self.left > 0:
            return False
        self.notes.append(f"{what} was left out after {self._told}.")
        return True
