"""What a long wait is for is said, to whoever would wonder."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LONG_SECONDS = 3.0
"""A wait that lasts no longer needs no word."""


@contextmanager
def waiting_for(what: str, seconds: float, say: Callable[[str], None]) -> Iterator[None]:
    """Say what the block waits for, and until when, once it has taken a few seconds.

    Args:
        what: it waits for.
        seconds: longest that it takes.
        say: called from another thread, and never once the block has ended.
    """
    until = time.strftime("%H:%M:%S", time.localtime(time.time() + seconds))
    sentence = f"waiting for {what}, until {until} at the latest"
    timer = threading.Timer(LONG_SECONDS, say, (sentence,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
