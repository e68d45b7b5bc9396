"""Cancelling or deleting a flow run in Prefect cancels its sweep; looked up over plain REST."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from modelyard.api import Desired, SweepState
from modelyard.journal.rows import SweepRow
from modelyard.server.live import LiveJournal
from modelyard.server.prefect_rest import FlowRunState, Prefect
from modelyard.server.submit import UNLED
from modelyard.server.supervisor import Supervisor
from modelyard.server.ticking import every

TICK_SECONDS = 2.0

OVER_SECONDS = 120.0
"""A flow run that is over for so long isn't started again by its Job: its back-off is shorter."""


class FlowWatch:
    """Looks at the flow runs of running sweeps.

    Args:
        journal: knows which sweep has which flow run.
        supervisor: carries a cancellation out.
        prefect: asked what became of a flow run.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        journal: LiveJournal,
        supervisor: Supervisor,
        prefect: Prefect,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._journal = journal
        self._supervisor = supervisor
        self._prefect = prefect
        self._clock = clock
        self._over_since: dict[str, float] = {}

    async def watch(self) -> None:
        """Look every two seconds, until cancelled."""
        await every(TICK_SECONDS, self.look, "flow runs can't be looked at")

    async def look(self) -> None:
        """Cancel the sweeps whose flow run was cancelled or deleted, and say where one is over."""
        if self._prefect.api is None:
            return
        for row in await asyncio.to_thread(self._journal.sweeps):
            running = row.state is SweepState.RUNNING and row.desired is Desired.RUNNING
            if running and row.flow_run is not None:
                state = await self._prefect.state(row.flow_run)
                await self._watch_over(row, state)
                if state in (FlowRunState.CANCELLED, FlowRunState.DELETED):
                    reason = f"its flow run {row.flow_run} was {state} in Prefect"
                    await self._supervisor.want(
                        row.id, Desired.CANCELLED, reason, actor="flow watch"
                    )

    async def _watch_over(self, row: SweepRow, state: FlowRunState) -> None:
        """A Job starts a flow that crashed again; once it has given up, the sweep stands still."""
        assert row.flow_run is not None
        if state is not FlowRunState.OVER or row.owner is not None:
            self._over_since.pop(row.flow_run, None)
            return
        since = self._over_since.setdefault(row.flow_run, self._clock())
        if self._clock() - since >= OVER_SECONDS and not row.message:
            message = (
                f"{UNLED}its flow run {row.flow_run} has ended in Prefect. "
                "`modelyard run FILE --continue` gives it another."
            )
            await asyncio.to_thread(
                lambda: self._journal.update_sweep(row.id, message=message, actor="flow watch")
            )
