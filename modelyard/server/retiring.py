"""Frees what the launches of a sweep shared once it has ended, however it ended."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from modelyard.errors import LeaseLost
from modelyard.journal.journal import Journal

LOG = logging.getLogger(__name__)

TICK_SECONDS = 2.0


class Retirer(Protocol):
    """Ends what is left of a sweep; see ``stages.Stages``."""

    async def retire(self, sweep: str) -> bool:
        """True once nothing of it is left."""


class Retirement:
    """Retires sweeps that have ended. What a crash left undone, the next server does.

    Args:
        journal: knows which sweeps have ended and aren't retired.
        stages: does it.
    """

    def __init__(self, journal: Journal, stages: Retirer) -> None:
        self._journal = journal
        self._stages = stages

    async def watch(self) -> None:
        """Look every two seconds, until cancelled."""
        while True:
            try:
                await self.look()
            except LeaseLost:
                return
            except Exception:  # a server that ends over this would leave more behind
                LOG.exception("ended sweeps can't be retired now; trying again")
            await asyncio.sleep(TICK_SECONDS)

    async def look(self) -> None:
        """Retire each sweep that has ended and whose launches are gone."""
        for sweep in await asyncio.to_thread(self._journal.unretired):
            if await self._stages.retire(sweep):
                await asyncio.to_thread(self._journal.set_retired, sweep)
