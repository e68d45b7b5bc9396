"""Sweeps live and die with the run that owns them: a silent owner means interruption."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable

from modelyard.api import Desired, Owner, SweepState
from modelyard.local import processes, services
from modelyard.server.live import LiveJournal
from modelyard.server.supervisor import Supervisor
from modelyard.server.ticking import every
from modelyard.settings import Paths

LOG = logging.getLogger(__name__)

TICK_SECONDS = 0.5

SLEPT_SECONDS = 2.0
"""A tick that comes later than this means that the machine or this process slept: so did the
owners, and their silence says nothing yet."""

STILL_SECONDS = 60.0
"""Silence after which an owner counts as gone although its process lives: one that was suspended,
or hangs. A machine that is short of memory may let it stand still for a while."""

WIND_DOWN_SECONDS = 4.0
"""Longest that trials may take to stop before the run's services are ended all the same."""


class OwnerWatch:
    """Interrupts sweeps whose owner is silent, then ends what their run started.

    Args:
        journal: has the owners' last signs of life.
        supervisor: carries the interruption out.
        paths: of the home, for its services.
        seconds: silence after which an owner whose process is gone counts as such.
        run: the run that started this server, None for one that stays.
        shutdown: ends this server.
    """

    def __init__(
        self,
        journal: LiveJournal,
        supervisor: Supervisor,
        *,
        paths: Paths,
        seconds: float,
        run: str | None,
        shutdown: Callable[[str], None],
    ) -> None:
        self._journal = journal
        self._supervisor = supervisor
        self._paths = paths
        self._seconds = seconds
        self._run = run
        self._shutdown = shutdown
        # By the clock of the wall: the other one stands still while a machine sleeps.
        self._heard_since = time.time()
        self._ticked = time.time()

    async def watch(self) -> None:
        """Look twice a second, until cancelled."""
        await every(TICK_SECONDS, self.look, "owners can't be looked at")

    async def look(self) -> None:
        """Interrupt the sweeps of owners that are gone now."""
        now = time.time()
        if now - self._ticked > SLEPT_SECONDS:
            self._heard_since = now
        self._ticked = now
        lapsed = await asyncio.to_thread(self._journal.lapsed, self._seconds)
        still = await self._still() if lapsed else frozenset()
        owned = [(row.id, row.owner) for row in lapsed if row.owner is not None]
        gone = [(sweep, owner) for sweep, owner in owned if not alive(owner) or sweep in still]
        await asyncio.gather(*(self._interrupt(sweep, owner) for sweep, owner in gone))
        for run in {owner.run for _, owner in gone}:
            await self._end_services(run)

    async def lapsed(self, sweep: str) -> bool:
        """Whether a running sweep's owner is gone, as far as can be told at once."""
        row = await asyncio.to_thread(self._journal.sweep, sweep)
        if row.owner is None:
            return False
        return not alive(row.owner) or row.id in await self._still()

    async def _still(self) -> frozenset[str]:
        """Sweeps whose owner has been silent for too long even for one that lives.

        After a start nobody could renew for a while: owners that live get their time again.
        """
        if time.time() - self._heard_since < STILL_SECONDS:
            return frozenset()
        silent = await asyncio.to_thread(self._journal.lapsed, STILL_SECONDS)
        return frozenset(row.id for row in silent)

    async def _interrupt(self, sweep: str, owner: Owner) -> None:
        """Interrupt a sweep, unless another run has taken it over since it was looked at."""
        reason = f"the run that owns it (process {owner.process}) has gone"
        row = await asyncio.to_thread(self._journal.sweep, sweep)
        if row.desired is Desired.RUNNING:  # else it winds down for a reason of its own
            row = await self._supervisor.want(
                sweep, Desired.INTERRUPTED, reason, actor="owner watch", owner=owner
            )
        if row.owner != owner:
            return
        if not await self._supervisor.settled(sweep, WIND_DOWN_SECONDS):
            LOG.error("sweep %s still winds down after %g s", sweep, WIND_DOWN_SECONDS)
        await asyncio.to_thread(self._journal.set_owner, sweep, None, before=owner)

    async def _end_services(self, run: str) -> None:
        """End every service of a run; this server, when it is one of them, last and by itself."""
        others = [
            service
            for service in services.recorded(self._paths)
            if service.run == run and service.name != "server"
        ]
        await asyncio.to_thread(services.end, others, self._paths)
        LOG.info("run %s has gone; ended %s", run, [one.name for one in others] or "nothing")
        if run == self._owning_run() and not await asyncio.to_thread(self._busy):
            self._shutdown(f"run {run}, which started this server, has gone")

    def _owning_run(self) -> str | None:
        """The run that this server lives and dies with; ``modelyard up`` may have freed it."""
        own = services.running("server", self._paths)
        return own.run if own is not None and own.process == os.getpid() else self._run

    def _busy(self) -> bool:
        """Whether sweeps of other runs still need this server."""
        return any(row.state is SweepState.RUNNING for row in self._journal.sweeps())


def alive(owner: Owner) -> bool:
    """Whether the owner's process lives on this machine."""
    return processes.lives(owner.process, owner.started)
