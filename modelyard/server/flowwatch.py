"""Cancelling or deleting a flow run in Prefect cancels its sweep; looked up over plain REST."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from pathlib import Path

import httpx

from modelyard.api import Desired, SweepState
from modelyard.errors import LeaseLost, ModelyardError
from modelyard.server.live import LiveJournal
from modelyard.server.supervisor import Supervisor

LOG = logging.getLogger(__name__)

TICK_SECONDS = 2.0

CANCELLED = ("CANCELLING", "CANCELLED")
"""Prefect's state types that mean somebody wants the flow run to end."""


class FlowWatch:
    """Looks at the flow runs of running sweeps.

    Args:
        journal: knows which sweep has which flow run.
        supervisor: carries a cancellation out.
        service: Prefect's service file; ``PREFECT_API_URL`` goes before it.
        http: the connection to Prefect.
    """

    def __init__(
        self,
        journal: LiveJournal,
        supervisor: Supervisor,
        *,
        service: Path,
        http: httpx.AsyncClient,
    ) -> None:
        self._journal = journal
        self._supervisor = supervisor
        self._service = service
        self._http = http
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
        api = prefect_api(self._service)
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
        try:
            answer = await self._http.get(f"{api}/flow_runs/{flow_run}")
        except httpx.TransportError:
            return None
        if answer.status_code == httpx.codes.OK:
            self._seen.add((api, flow_run))
        # A server that never knew the run (another database) says 404 too: that is no deletion.
        if answer.status_code == httpx.codes.NOT_FOUND and (api, flow_run) in self._seen:
            return f"its flow run {flow_run} was deleted in Prefect"
        return _cancelled(answer, flow_run)


def prefect_api(service: Path) -> str | None:
    """Base URL of Prefect's REST API, None where no Prefect is known."""
    address = os.environ.get("PREFECT_API_URL", "")
    if not address:
        try:
            address = str(json.loads(service.read_text())["address"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
    address = address.rstrip("/")
    if not address:
        return None
    return address if address.endswith("/api") else f"{address}/api"


def _cancelled(answer: httpx.Response, flow_run: str) -> str | None:
    if answer.status_code != httpx.codes.OK:
        return None
    try:
        state = answer.json()["state"]
    except (ValueError, KeyError, TypeError):
        return None
    if isinstance(state, dict) and state.get("type") in CANCELLED:
        return f"its flow run {flow_run} was cancelled in Prefect"
    return None
