"""Prefect's REST API as far as our server speaks it, answered from memory."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import httpx

DEPLOYMENT = "d0"


@dataclass(kw_only=True)
class PrefectWire:
    """Holds one deployment and the flow runs that were asked for.

    Args:
        deployment: its name, ``flow/deployment``.
        away: nothing answers.
        credentials: header that is asked for; empty asks for none.
        runs: parameters of each flow run by its id, in order.
        states: state type of each.
        keys: flow run of each idempotency key.
    """

    deployment: str = "pipeline/cluster"
    away: bool = False
    credentials: str = ""
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)

    @property
    def transport(self) -> httpx.MockTransport:
        """For an HTTP client whose every request goes here."""
        return httpx.MockTransport(self._httpx)

    def answer(
        self, method: str, path: str, authorization: str, content: bytes
    ) -> tuple[int, dict[str, Any]]:
        """Status and body for a request."""
        if authorization != self.credentials:
            return 401, {"detail": "Unauthorized"}
        if (method, path) == ("GET", f"/api/deployments/name/{self.deployment}"):
            return 200, {"id": DEPLOYMENT, "name": self.deployment}
        if (method, path) == ("POST", f"/api/deployments/{DEPLOYMENT}/create_flow_run"):
            return self._create(json.loads(content))
        run = path.removeprefix("/api/flow_runs/")
        if method == "GET" and run in self.runs:
            state = {"type": self.states[run], "name": "x"}
            return 200, {"id": run, "flow_id": "w0", "state": state}
        return 404, {"detail": "Not found"}

    def _create(self, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        known = self.keys.get(asked["idempotency_key"])
        if known is not None:
            return 200, {"id": known}
        run = f"run-{len(self.runs) + 1}"
        self.runs[run], self.states[run] = asked["parameters"], "SCHEDULED"
        self.keys[asked["idempotency_key"]] = run
        return 201, {"id": run}

    def _httpx(self, request: httpx.Request) -> httpx.Response:
        if self.away:
            raise httpx.ConnectError("refused", request=request)
        authorization = request.headers.get("Authorization", "")
        status, body = self.answer(request.method, request.url.path, authorization, request.content)
        return httpx.Response(status, json=body)
