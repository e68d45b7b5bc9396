"""Blocking calls from the event loop, tried again while a database refuses."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from time import monotonic
from typing import ParamSpec, TypeVar

from modelyard.errors import InputError, LeaseLost, ModelyardError

LOG = logging.getLogger(__name__)

RETRY_SECONDS = 1.0
PATIENCE_SECONDS = 60.0
"""A database that restarts is back by then; one that isn't needs a person."""

P = ParamSpec("P")
R = TypeVar("R")


async def patiently(call: Callable[P, R], *arguments: P.args, **named: P.kwargs) -> R:
    """Call in a thread of the loop's pool; see ``patiently_in``."""
    return await patiently_in(None, partial(call, *arguments, **named))


async def patiently_in(thread: Executor | None, call: Callable[[], R]) -> R:
    """Call in a thread; again each second while it raises ``ModelyardError``, for a minute.

    Args:
        thread: where to call; None is the loop's own pool.

    Raises:
        LeaseLost, InputError: at once, another try changes nothing.
        ModelyardError: the last one, after a minute.
    """
    loop, begun = asyncio.get_running_loop(), monotonic()
    while True:
        try:
            return await loop.run_in_executor(thread, call)
        except (LeaseLost, InputError):
            raise
        except ModelyardError as error:
            if monotonic() - begun > PATIENCE_SECONDS:
                raise
            LOG.warning("%s Trying again.", error)
            await asyncio.sleep(RETRY_SECONDS)
