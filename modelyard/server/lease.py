"""Holding the journal: take the lease, keep it, let it go."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from time import monotonic

from modelyard.errors import LeaseLost, ModelyardError
from modelyard.server.live import LiveJournal

LOG = logging.getLogger(__name__)

RETRY_SECONDS = 0.5

RENEWALS = 4
"""Renewals within the time of a lease: three may be late before anybody could take it."""


@asynccontextmanager
async def leased(
    journal: LiveJournal,
    address: str,
    *,
    lease_seconds: float,
    lost: Callable[[LeaseLost], None],
    patience_seconds: float = 0.0,
) -> AsyncIterator[int]:
    """Hold the lease for as long as the block runs; gives the epoch.

    Args:
        address: told to whoever is refused.
        lease_seconds: how old a lease may be.
        lost: called once when it was taken over.
        patience_seconds: how long to wait for another server's end.

    Raises:
        ModelyardError: another server holds it.
    """
    epoch = await _acquire(journal, address, patience_seconds)
    LOG.info("the journal is held under epoch %d", epoch)
    task = asyncio.create_task(_renew(journal, lease_seconds / RENEWALS, lost), name="lease")
    try:
        yield epoch
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        with suppress(ModelyardError):  # lost, or the disk is gone: it runs out by itself
            await asyncio.to_thread(journal.release)
        journal.close()


async def _acquire(journal: LiveJournal, address: str, patience_seconds: float) -> int:
    deadline, said = monotonic() + patience_seconds, ""
    while True:
        try:
            return await asyncio.to_thread(journal.acquire, address)
        except ModelyardError as error:
            if monotonic() >= deadline:
                raise
            if str(error) != said:
                LOG.warning("%s Waiting for its end.", error)
            said = str(error)
        await asyncio.sleep(RETRY_SECONDS)


async def _renew(journal: LiveJournal, seconds: float, lost: Callable[[LeaseLost], None]) -> None:
    while True:
        await asyncio.sleep(seconds)
        try:
            await asyncio.to_thread(journal.renew)
        except LeaseLost as error:
            lost(error)
            return
        except ModelyardError as error:
            LOG.warning("the lease was not renewed: %s", error)
