"""How a launch ends before its time: SIGTERM, or the intake's word.

Only a fit has something worth a moment of grace: it is asked, writes a checkpoint and ends.
Whatever else goes on (imports, loading, evaluating, saving) can be done again and is left at
once. Either way the exit code is 75, never 0.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

from modelyard.contract import Exit, Stop


class Stopping:
    """Whether this launch is to stop, and what follows from it now.

    The main thread installs it and moves it between its states; the poster's thread asks for
    a stop.

    Args:
        leave: ends the process at once with an exit code; never returns.
    """

    def __init__(self, leave: Callable[[int], NoReturn] = os._exit) -> None:
        self._leave = leave
        self._asked = False
        self._cooperative = False
        self._finishing = False
        self.reason: str | None = None

    def install(self) -> None:
        """Take over SIGTERM. Main thread only."""
        signal.signal(signal.SIGTERM, self._on_signal)

    @property
    def asked(self) -> bool:
        """Whether the fit should write a checkpoint and end."""
        return self._asked

    def cooperate(self) -> None:
        """From here on the work looks at ``asked`` often enough to be trusted with a stop."""
        self._cooperative = True

    def leave_at_once(self) -> None:
        """From here on nothing is worth waiting for; a stop that was asked for happens now."""
        self._cooperative = False
        if self._asked:
            self._leave(Exit.STOPPED)

    def finish(self) -> None:
        """The result is on its way: the intake's word no longer matters, only SIGTERM does."""
        self.leave_at_once()
        self._finishing = True

    def ask(self, reason: Stop) -> None:
        """The intake says that this launch is to end. Any thread."""
        if not self._finishing:
            self._stop(reason.value)

    def _on_signal(self, _signal: int, _frame: FrameType | None) -> None:
        self._stop("SIGTERM")

    def _stop(self, reason: str) -> None:
        self.reason = self.reason or reason
        self._asked = True
        if not self._cooperative:
            self._leave(Exit.STOPPED)
