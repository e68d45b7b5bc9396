"""Look at something again and again, whatever one look comes to."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from modelyard.errors import LeaseLost, ModelyardError

LOG = logging.getLogger(__name__)


async def every(seconds: float, look: Callable[[], Awaitable[None]], complaint: str) -> None:
    """Call ``look`` until cancelled, or until the lease is lost.

    Args:
        seconds: between two looks.
        complaint: what is said in the log, with the reason, of a look that failed.
    """
    while True:
        try:
            await look()
        except LeaseLost:
            return
        except ModelyardError as error:
            LOG.warning("%s: %s", complaint, error)
        await asyncio.sleep(seconds)
