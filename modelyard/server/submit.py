"""Gives each sweep that waits for one a flow run of its deployment, and never two."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from modelyard.api import Desired, SweepState
from modelyard.server.prefect_rest import Prefect, PrefectFailed
from modelyard.server.ticking import every

if TYPE_CHECKING:
    from modelyard.journal.rows import SweepRow
    from modelyard.server.live import LiveJournal

LOG = logging.getLogger(__name__)

TICK_SECONDS = 2.0

DEPLOYMENT = "deployment"
"""Tag of a sweep that names the deployment whose flow run leads it."""

EARLIER = "earlier_flow_run"
"""Tag of a sweep that names the flow run which led it before."""

WAITS = "No flow run yet: "
"""How the message of a sweep begins that waits for Prefect."""


UNLED = "Nobody leads this sweep any more: "
"""How the message of a sweep begins whose flow run is over before it."""


class Submitter:
    """Asks Prefect for flow runs. Belongs to the event loop.

    That a sweep waits for its flow run stands in the journal, and Prefect is asked with a key
    made from it: whoever asks again, this server or the next, gets the same flow run.

    Args:
        journal: knows which sweeps wait.
        prefect: makes the flow runs.
    """

    def __init__(self, journal: LiveJournal, prefect: Prefect) -> None:
        self._journal = journal
        self._prefect = prefect
        self._one_at_a_time = asyncio.Lock()

    async def watch(self) -> None:
        """Look every two seconds for sweeps that still wait, until cancelled."""
        await every(TICK_SECONDS, self.look, "flow runs can't be submitted")

    async def look(self) -> None:
        """Submit each sweep that waits."""
        for row in await asyncio.to_thread(self._journal.sweeps):
            if waits(row):
                await self.submit(row.id)

    async def submit(self, sweep: str) -> SweepRow:
        """Have Prefect make the sweep's flow run; where it can't, the sweep says why and waits.

        Returns:
            The sweep as it is then.
        """
        async with self._one_at_a_time:
            row = await asyncio.to_thread(self._journal.sweep, sweep)
            if not waits(row):
                return row
            try:
                flow_run = await self._prefect.submit(
                    row.tags[DEPLOYMENT],
                    name=f"{row.name}-{row.id}",
                    parameters={"experiment": row.experiment, "sweep": row.id},
                    key=key_of(row),
                )
            except PrefectFailed as error:
                return await self._wait(row, str(error))
            LOG.info("sweep %s is led by flow run %s", row.id, flow_run)
            return await asyncio.to_thread(self._attach, row.id, flow_run)

    async def _wait(self, row: SweepRow, why: str) -> SweepRow:
        message = f"{WAITS}{why}. It is asked again."
        if row.message == message:
            return row
        LOG.warning("sweep %s: %s", row.id, message)
        return await asyncio.to_thread(
            lambda: self._journal.update_sweep(row.id, message=message, actor="submitter")
        )

    def _attach(self, sweep: str, flow_run: str) -> SweepRow:
        row = self._journal.sweep(sweep)
        # Somebody may have said why the sweep is to end meanwhile; that stays.
        message = "" if row.message.startswith((WAITS, UNLED)) else None
        return self._journal.update_sweep(
            sweep, flow_run=flow_run, message=message, actor="submitter"
        )


def waits(row: SweepRow) -> bool:
    """Whether a sweep is to have a flow run and has none yet."""
    going = row.state is SweepState.RUNNING and row.desired is Desired.RUNNING
    return going and row.flow_run is None and DEPLOYMENT in row.tags


def key_of(row: SweepRow) -> str:
    """Names the flow run that a sweep waits for: its first, or the one after an earlier one."""
    earlier = row.tags.get(EARLIER)
    return row.id if earlier is None else f"{row.id}-after-{earlier}"
