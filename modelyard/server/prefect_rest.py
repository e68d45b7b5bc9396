"""Prefect over plain REST: where it is, what it says of a flow run, and a new run of a deployment.

Importing Prefect would cost this server three seconds and a hundred megabytes.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import httpx

from modelyard.errors import ModelyardError


class FlowRunState(StrEnum):
    """What Prefect says of a flow run, as far as it concerns its sweep."""

    GOING = "going"  # scheduled, pending, running, paused
    CANCELLED = "cancelled"  # or on its way there: somebody wants it to end
    OVER = "over"  # completed, failed or crashed
    DELETED = "deleted"  # this Prefect had the run, and still has its flow
    UNKNOWN = "unknown"  # this Prefect has no such run; another's never had
    UNTOLD = "untold"  # Prefect is away, or its answer can't be understood


_STATES = {
    "SCHEDULED": FlowRunState.GOING,
    "PENDING": FlowRunState.GOING,
    "RUNNING": FlowRunState.GOING,
    "PAUSED": FlowRunState.GOING,
    "CANCELLING": FlowRunState.CANCELLED,
    "CANCELLED": FlowRunState.CANCELLED,
    "COMPLETED": FlowRunState.OVER,
    "FAILED": FlowRunState.OVER,
    "CRASHED": FlowRunState.OVER,  # its process was killed; a Job may yet start it again
}
"""By Prefect's state types; one that isn't here tells nothing."""


class PrefectFailed(ModelyardError):
    """Prefect doesn't answer, or won't do what it was asked for; it may in a moment."""


class Prefect:
    """One Prefect server. Belongs to the event loop.

    Args:
        service: Prefect's service file; ``PREFECT_API_URL`` goes before it.
        http: the connection.
    """

    def __init__(self, service: Path, http: httpx.AsyncClient) -> None:
        self._service = service
        self._http = http
        self._flows: dict[str, str] = {}

    async def close(self) -> None:
        """Free the connection."""
        await self._http.aclose()

    @property
    def api(self) -> str | None:
        """Base URL of its API, None where no Prefect is known."""
        return prefect_api(self._service)

    async def state(self, flow_run: str) -> FlowRunState:
        """What it says of a flow run; never raises."""
        # Read once: while a Prefect is replaced its address changes between two questions.
        api = self.api
        try:
            answer = await self._ask(api, "GET", f"/flow_runs/{flow_run}")
            if answer.status_code == httpx.codes.NOT_FOUND:
                had = await self._has_flow(api, flow_run)
                return FlowRunState.DELETED if had else FlowRunState.UNKNOWN
        except PrefectFailed:
            return FlowRunState.UNTOLD
        if answer.status_code != httpx.codes.OK:
            return FlowRunState.UNTOLD
        try:
            found = answer.json()
            self._flows[flow_run] = str(found["flow_id"])
            return _STATES.get(found["state"]["type"], FlowRunState.UNTOLD)
        except (ValueError, KeyError, TypeError):
            return FlowRunState.UNTOLD

    async def _has_flow(self, api: str | None, flow_run: str) -> bool:
        """Whether this is the Prefect that the run was seen in: another home's may have taken the
        port. Both number their flows at random, so only ours has the one of the run."""
        flow = self._flows.get(flow_run)
        if flow is None:
            return False
        answer = await self._ask(api, "GET", f"/flows/{flow}")
        return answer.status_code == httpx.codes.OK

    async def submit(
        self, deployment: str, *, name: str, parameters: Mapping[str, Any], key: str
    ) -> str:
        """Have a flow run of a deployment started; returns its id.

        Args:
            deployment: ``flow/deployment``.
            name: of the flow run.
            parameters: of the flow, as JSON.
            key: asked for again with the same key, the same flow run is returned.

        Raises:
            PrefectFailed: it doesn't answer, has no such deployment, or refuses.
        """
        found = await self._answered("GET", f"/deployments/name/{deployment}", deployment)
        body = {"name": name, "parameters": dict(parameters), "idempotency_key": key}
        path = f"/deployments/{found['id']}/create_flow_run"
        made = await self._answered("POST", path, deployment, json=body)
        return str(made["id"])

    async def _answered(
        self, method: str, path: str, deployment: str, **options: Any
    ) -> dict[str, Any]:
        answer = await self._ask(self.api, method, path, **options)
        if answer.status_code == httpx.codes.NOT_FOUND:
            raise PrefectFailed(
                f"Prefect has no deployment {deployment}; `prefect deploy` makes it"
            )
        if answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            raise PrefectFailed("Prefect refuses the server's PREFECT_API_AUTH_STRING")
        try:
            body = answer.json()
            if answer.is_success and "id" in body:
                return dict(body)
        except (ValueError, TypeError):
            pass
        said = answer.text[:200]
        raise PrefectFailed(f"Prefect answered {answer.status_code} for {deployment}: {said}")

    async def _ask(self, api: str | None, method: str, path: str, **options: Any) -> httpx.Response:
        if api is None:
            raise PrefectFailed("no Prefect is known; PREFECT_API_URL of the server names it")
        try:
            return await self._http.request(method, api + path, headers=_credentials(), **options)
        except httpx.TransportError as error:
            why = str(error) or type(error).__name__
            raise PrefectFailed(f"Prefect doesn't answer at {api} ({why})") from error


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


def _credentials() -> dict[str, str]:
    """``user:password`` of Prefect's own variable as a header; none without it."""
    pair = os.environ.get("PREFECT_API_AUTH_STRING", "")
    if not pair:
        return {}
    return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
