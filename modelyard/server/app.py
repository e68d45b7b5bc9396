"""The FastAPI program: routes, the Host check, and every error as a Problem."""

from __future__ import annotations

import logging
from dataclasses import asdict

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

import modelyard
from modelyard.errors import (
    DigestMismatch,
    ExperimentError,
    Fenced,
    InputError,
    LeaseLost,
    ModelyardError,
)
from modelyard.server import (
    routes_artifacts,
    routes_launches,
    routes_models,
    routes_operations,
    routes_reports,
    routes_runs,
    routes_sweeps,
    routes_uploads,
)
from modelyard.server.artifacts import Forbidden, Incomplete, NotHere, StoreMisconfigured
from modelyard.server.auth import OPEN_PATHS, Gate, key_of
from modelyard.server.core import Core
from modelyard.server.problems import problem
from modelyard.server.supervisor import Conflict
from modelyard.store.presigned import DAMAGED, OTHERS_COMMITTED
from modelyard.store.store import AlreadyCommitted

LOG = logging.getLogger(__name__)

STATUSES: dict[type[ModelyardError], int] = {
    ExperimentError: 422,
    InputError: 404,  # what the journal and the registry were asked for isn't there
    Conflict: 409,
    Fenced: 409,
    Forbidden: 403,
    Incomplete: 400,
    NotHere: 400,
    StoreMisconfigured: 424,
    AlreadyCommitted: OTHERS_COMMITTED,
    DigestMismatch: DAMAGED,
    LeaseLost: 503,
    ModelyardError: 503,  # locked, full, unreachable: may be well in a moment
}
"""HTTP status of our errors, by the nearest class."""


def create_app(core: Core) -> FastAPI:
    """The program over a running server's parts."""
    app = FastAPI(title="Modelyard", version=modelyard.__version__, redirect_slashes=False)
    app.state.core = core
    rooms = (
        routes_sweeps,
        routes_reports,
        routes_runs,
        routes_launches,
        routes_artifacts,
        routes_uploads,
        routes_models,
        routes_operations,
    )
    for routes in rooms:
        app.include_router(routes.ROUTER)
    app.add_exception_handler(ModelyardError, _ours)
    app.add_exception_handler(RequestValidationError, _unreadable)
    app.add_exception_handler(HTTPException, _framework)
    app.add_exception_handler(Exception, _bug)
    key = key_of(core.settings)
    if key is not None:
        app.add_middleware(Gate, key=key, tokens=core.tokens)
    # The last is asked first.
    app.add_middleware(HostCheck, hosts=core.hosts, open_paths=OPEN_PATHS if key else frozenset())
    return app


class HostCheck:
    """Refuses requests of foreign web pages: one that rebinds its name to 127.0.0.1 sends that
    name as Host, one that posts to us from elsewhere sends where it comes from as Origin.

    Args:
        app: what is guarded.
        hosts: allowed names, without port.
        open_paths: answered under any name.
    """

    def __init__(
        self, app: ASGIApp, *, hosts: frozenset[str], open_paths: frozenset[str] = frozenset()
    ) -> None:
        self._app = app
        self._hosts = hosts
        self._open_paths = open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or answer 421."""
        if scope["type"] != "http" or self._allowed(scope):
            await self._app(scope, receive, send)
            return
        answer = problem(421, f"this server answers only as {', '.join(sorted(self._hosts))}")
        await answer(scope, receive, send)

    def _allowed(self, scope: Scope) -> bool:
        if scope["path"] in self._open_paths:
            return True
        headers = [(name, value.decode("latin-1")) for name, value in scope["headers"]]
        hosts = [without_port(value) for name, value in headers if name == b"host"]
        origins = [
            without_port(value.partition("://")[2]) for name, value in headers if name == b"origin"
        ]
        return len(hosts) == 1 and {*hosts, *origins} <= self._hosts


def without_port(host: str) -> str:
    """The name in a Host header; an IPv6 address keeps its brackets."""
    name, separator, port = host.rpartition(":")
    return (name if separator and port.isdigit() else host).lower()


async def _ours(request: Request, error: Exception) -> Response:
    nearest = next(kind for kind in type(error).__mro__ if kind in STATUSES)
    status = STATUSES[nearest]
    if status >= 500 and not request.url.path.endswith("/events"):  # the intake says it, once
        LOG.error("%s %s: %s", request.method, request.url.path, error)
    mistakes = error.mistakes if isinstance(error, ExperimentError) else ()
    return problem(status, str(error), tuple(asdict(mistake) for mistake in mistakes))


async def _unreadable(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    places = [
        f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in error.errors()
    ]
    return problem(422, "; ".join(places))


async def _framework(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return problem(404, f"there is no {request.url.path} here; /docs lists what there is")
    return problem(error.status_code, f"{request.method} {request.url.path}: {error.detail}")


async def _bug(request: Request, error: Exception) -> Response:
    LOG.error("%s %s", request.method, request.url.path, exc_info=error)
    return problem(500, f"a bug: {type(error).__name__}: {error}; the server's log has more")
