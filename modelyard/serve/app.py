"""The HTTP side of a model server."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import anyio
import anyio.to_thread
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST

from modelyard import __version__
from modelyard.api import Problem
from modelyard.errors import SchemaMismatch
from modelyard.models.packed import PackedModelError
from modelyard.serve.measures import Measures
from modelyard.serve.model import Served
from modelyard.serve.payload import Malformed, decode

LOG = logging.getLogger(__name__)

PROCESS_HEADER = "X-Modelyard-Process"
"""On every answer of ``/invocations``: while two servers share a port, it says which it was."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one server takes on.

    Args:
        body_bytes: largest request body.
        rows: most rows of one request.
        waiting: most requests that wait for the model; further ones are answered 503.
    """

    body_bytes: int = 16 * 1024 * 1024
    rows: int = 10_000
    waiting: int = 64


class Refused(Exception):
    """A request that is answered with a problem instead of predictions."""

    def __init__(self, status: int, sentence: str, column: str | None = None) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.column = column


def create_app(
    served: Served, *, limits: Limits | None = None, draining: Callable[[], bool] = lambda: False
) -> FastAPI:
    """The application over one loaded model.

    Args:
        served: the model; it predicts in one worker thread, a request at a time.
        limits: defaults where left out.
        draining: whether the process was told to end; ``/readyz`` then answers 503.
    """
    app = FastAPI(title=f"Modelyard model server: {served.name}", version=__version__)
    measures = Measures(served.name, served.version)
    desk = _Desk(served, limits or Limits(), measures)
    app.add_api_route("/invocations", desk.invocations, methods=["POST"])

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz")
    async def readyz() -> JSONResponse:
        ends = draining()
        return JSONResponse({"status": "draining" if ends else "ok"}, 503 if ends else 200)

    @app.get("/version")
    async def version() -> dict[str, str | int]:
        return {"model": served.name, "version": served.version, "modelyard": __version__}

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(measures.text(), media_type=CONTENT_TYPE_LATEST)

    return app


class _Desk:
    """Takes requests one by one to the model."""

    def __init__(self, served: Served, limits: Limits, measures: Measures) -> None:
        self._served = served
        self._limits = limits
        self._measures = measures
        # torch on one thread and estimators that aren't thread-safe: one prediction at a time.
        self._turn = anyio.CapacityLimiter(1)

    async def invocations(self, request: Request) -> Response:
        """Predict. Body: one of MLflow's shapes; answer: one prediction for each row."""
        began = time.perf_counter()
        response = await _refusals(self._predict(request))
        response.headers[PROCESS_HEADER] = str(os.getpid())
        self._measures.answered(response.status_code, time.perf_counter() - began)
        return response

    async def _predict(self, request: Request) -> Response:
        body = await self._read(request)
        if self._turn.statistics().tasks_waiting >= self._limits.waiting:
            raise Refused(503, f"{self._limits.waiting} requests wait already; try again")
        answers = await anyio.to_thread.run_sync(self._answer, body, limiter=self._turn)
        self._measures.predicted(len(answers))
        return JSONResponse(
            {
                "model": self._served.name,
                "version": self._served.version,
                "predictions": answers,
            }
        )

    async def _read(self, request: Request) -> bytes:
        limit = self._limits.body_bytes
        too_large = Refused(413, f"the body is larger than {limit} bytes; send fewer rows at once")
        announced = request.headers.get("content-length", "0")
        if announced.isdigit() and int(announced) > limit:
            raise too_large
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                raise too_large
        return bytes(body)

    def _answer(self, body: bytes) -> list[dict[str, Any]]:
        payload = decode(body)
        if len(payload) > self._limits.rows:
            raise Refused(
                413, f"{len(payload)} rows are more than {self._limits.rows}; send fewer at once"
            )
        return self._served.answer(payload)


async def _refusals(work: Awaitable[Response]) -> Response:
    try:
        return await work
    except Malformed as error:
        return _problem(Refused(400, str(error)))
    except SchemaMismatch as error:
        return _problem(Refused(422, str(error), error.column))
    except PackedModelError as error:
        LOG.exception("own code failed")
        return _problem(Refused(500, str(error)))
    except Refused as error:
        return _problem(error)


def _problem(refused: Refused) -> JSONResponse:
    mistakes: tuple[dict[str, str], ...] = ()
    sentence = _sendable(refused.sentence)
    if refused.column is not None:
        mistakes = ({"path": _sendable(refused.column), "message": sentence},)
    problem = Problem(error=sentence, mistakes=mistakes)
    headers = {"Retry-After": "1"} if refused.status == 503 else None
    return JSONResponse(problem.model_dump(mode="json"), refused.status, headers=headers)


def _sendable(text: str) -> str:
    """Text with a question mark for half a surrogate pair, which JSON may hold and UTF-8 not."""
    return text.encode("utf-8", "replace").decode()
