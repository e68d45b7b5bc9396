"""Routes for those who run the server: alive, ready, metrics, end."""

from __future__ import annotations

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST

from modelyard.api import SweepState
from modelyard.server.core import CoreOf

ROUTER = APIRouter()


@ROUTER.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@ROUTER.get("/readyz")
def readyz(core: CoreOf) -> Response:
    """Each dependency; 503 while one of them isn't well."""
    health = core.health()
    return Response(
        health.model_dump_json(),
        status_code=200 if health.status == "ok" else 503,
        media_type="application/json",
    )


@ROUTER.get("/metrics")
def metrics(core: CoreOf) -> Response:
    """Counts in Prometheus' text format."""
    rows = core.journal.sweeps()
    running = [row.id for row in rows if row.state is SweepState.RUNNING]
    trials = (trial.state for sweep in running for trial in core.journal.trials(sweep))
    body = core.measures.render((row.state for row in rows), trials)
    return Response(body, media_type=CONTENT_TYPE_LATEST)


@ROUTER.post("/v1/shutdown", status_code=202)
async def shutdown(core: CoreOf) -> dict[str, str]:
    """End the server; its trials stop with a checkpoint."""
    core.shutdown("asked for by a client")
    return {"status": "ending"}
