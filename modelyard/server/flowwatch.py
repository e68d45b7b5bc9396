"""Cancelling or deleting a flow run in Prefect cancels its sweep; looked up over plain REST."""

from __future__ import annotations

import asyncio
import logging

from modelyard.api import Desired, SweepState
from modelyard.errors import LeaseLost, ModelyardError
from modelyard.server.live import LiveJournal
from modelyard.server.prefect_rest import FlowRunState, Prefect
from modelyard.server.supervisor import Supervisor

LOG = logging.getLogger(__name__)

TICK_SECONDS = 2.0


class FlowWatch:
    """Looks at the flow runs of running sweeps.

    Args:
        journal: knows which sweep has which flow run.
        supervisor: carries a cancellation out.
        prefect: asked what became of a flow run.
    """

    def __init__(self, journal: LiveJournal, supervisor: Supervisor, prefect: Prefect) -> None:
        self._journal = journal
        self._supervisor = supervisor
        self._prefect = prefect
        self._seen: set[tuple[str, str]] = set()

    async def watch(self) -> None:
        """Look every two seconds, until cancelled."""
        while True:
            try:
                await self.look()
            except LeaseLost:
                return
            except ModelyardError as error:
                LOG.warning("flow runs can't be looked at: %s", error)
            await asyncio.sleep(TICK_SECONDS)

    async def look(self) -> None:
        """Cancel the sweeps whose flow run was cancelled or deleted."""
        api = self._prefect.api
        if api is None:
            return
        for row in await asyncio.to_thread(self._journal.sweeps):
            running = row.state is SweepState.RUNNING and row.desired is Desired.RUNNING
            if running and row.flow_run is not None:
                reason = await self._reason(api, row.flow_run)
                if reason is not None:
                    await self._supervisor.want(
                        row.id, Desired.CANCELLED, reason, actor="flow watch"
                    )

    async def _reason(self, api: str, flow_run: str) -> str | None:
        """Why the sweep is to end, None where Prefect doesn't say so, or says nothing."""
        state = await self._prefect.state(flow_run)
        # A server that never knew the run (another database) has none of its id either: that is
        # no deletion.
        if state is FlowRunState.UNKNOWN and (api, flow_run) in self._seen:
            return f"its flow run {flow_run} was deleted in Prefect"
        if state is FlowRunState.CANCELLED:
            return f"its flow run {flow_run} was cancelled in Prefect"
        if state in (FlowRunState.GOING, FlowRunState.OVER):
            self._seen.add((api, flow_run))
        return None
