"""The trial's side of the wire: documents in, batches out, over one kept-alive connection."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar

import certifi
import urllib3
from pydantic import ValidationError
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util import Url, parse_url

from modelyard.contract import Document, LaunchKey, Reply
from modelyard.errors import DigestMismatch, Fenced, ServerRefused, ServerUnreachable
from modelyard.trial.line import Line

_FENCED = frozenset({409, 410})
ARTIFACTS_SECONDS = 60.0
"""How long the server may take for one answer about artifacts: it asks the bucket meanwhile."""
_PASSING = frozenset({408, 425, 429})
"""Refusals that mean "later", like every 5xx."""

CONNECT_SECONDS = 5.0
CONNECTIONS = 8
"""Most that are kept alive: more than a launch has threads that speak to the server."""

_PROBES = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}
"""Seconds of silence before the first probe, seconds between two, and how many may be lost; those
of them that the platform has."""
SOCKET_OPTIONS = [
    *HTTPConnection.default_socket_options,
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *(
        (socket.IPPROTO_TCP, getattr(socket, name), value)
        for name, value in _PROBES.items()
        if hasattr(socket, name)
    ),
]
"""An idle connection is asked after: one that a gateway has forgotten is found out before a post
waits on it for its whole time, and one that is asked after is seldom forgotten."""


Answer = TypeVar("Answer")


class Intake:
    """A client of the intake. Used by a few threads, each with its own connection.

    By urllib3, but for posts: short epochs are told several times a second, and a ``Line`` takes
    less for each. Never through a proxy.

    Args:
        server: base URL.
        token: sent as a bearer token when there is one.
        timeout_seconds: how long one answer may take.
    """

    def __init__(self, server: str, token: str | None, *, timeout_seconds: float = 10.0) -> None:
        self._server = server.rstrip("/")
        place = parse_url(self._server)
        self._prefix = place.path or ""
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._timeout_seconds = timeout_seconds
        secure: dict[str, Any] = {"ca_certs": certifi.where()} if place.scheme == "https" else {}
        self._pool = urllib3.connection_from_url(
            self._server, maxsize=CONNECTIONS, socket_options=SOCKET_OPTIONS, **secure
        )
        self._line = self._new_line(place, secure)
        self._line_serves = True

    def __enter__(self) -> Intake:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.close()
        self._line.close()

    def document(self, digest: str, *, patience_seconds: float) -> Document:
        """Fetch a document and verify it.

        Args:
            digest: the document's BLAKE3.
            patience_seconds: how long to try again while the server is away.

        Raises:
            ServerUnreachable: away for longer.
            ServerRefused: it knows no such document, or doesn't know us.
            DigestMismatch: it sent another document.
        """
        return _patiently(lambda: self._document(digest), patience_seconds)

    def artifacts(
        self, key: LaunchKey, verb: str, body: bytes, *, patience_seconds: float
    ) -> bytes:
        """Ask about artifacts; see ``store.presigned``.

        Args:
            body: JSON.
            patience_seconds: how long to try again while server or bucket are away.

        Returns:
            The answer's JSON, empty where there is none.

        Raises:
            Fenced: a newer launch exists, or this one has ended.
            ServerUnreachable: away for longer.
            ServerRefused: any other answer.
        """
        path = f"/v1/launches/{key.sweep}/{key.task}/{key.number}/artifacts/{verb}"
        return _patiently(
            lambda: self._ask("POST", path, body, ARTIFACTS_SECONDS)[1], patience_seconds
        )

    def post(self, key: LaunchKey, batch: bytes) -> Reply:
        """Post a batch, given as JSON. One thread's.

        Raises:
            Fenced: a newer launch exists, or the task has ended.
            ServerUnreachable: no answer, or "later"; the same batch may be sent again.
            ServerRefused: any other answer; sending it again is no use.
        """
        path = f"/v1/launches/{key.sweep}/{key.task}/{key.number}/events"
        status, answer = self._posted(path, batch)
        try:
            return Reply.model_validate_json(answer)
        except ValidationError as error:
            raise ServerRefused(status, f"POST {path}: not a Reply: {error}") from error

    def _document(self, digest: str) -> Document:
        path = f"/v1/documents/{digest}"
        status, answer = self._ask("GET", path, None)
        try:
            document = Document.model_validate_json(answer)
        except ValidationError as error:
            raise ServerRefused(status, f"GET {path}: not a Document") from error
        if document.digest != digest:
            raise DigestMismatch(
                f"the server sent the document {document.digest} when {digest} was asked for"
            )
        return document

    def _new_line(self, place: Url, secure: dict[str, Any]) -> Line:
        kind = HTTPSConnection if secure else HTTPConnection
        connection = kind(
            self._pool.host,
            self._pool.port,
            timeout=CONNECT_SECONDS,
            socket_options=SOCKET_OPTIONS,
            **secure,
        )
        headers = {
            "Host": f"{place.host}:{place.port}" if place.port else str(place.host),
            "User-Agent": "modelyard",
            "Accept-Encoding": "identity",
            "Content-Type": "application/json",
        }
        return Line(connection, headers | self._headers, self._timeout_seconds)

    def _posted(self, path: str, content: bytes) -> tuple[int, bytes]:
        """Status and body of the answer to a batch."""
        if self._line_serves:
            try:
                answer = self._line.post(f"{self._prefix}{path}", content)
            except (OSError, urllib3.exceptions.HTTPError) as error:
                raise self._away("POST", path, error) from error
            if answer is not None:
                return _accepted("POST", path, *answer)
            # A gateway answers in its own way. The server knows a batch that comes again.
            self._line_serves = False
        return self._ask("POST", path, content)

    def _ask(
        self, method: str, path: str, content: bytes | None, timeout_seconds: float | None = None
    ) -> tuple[int, bytes]:
        """Status and body of the answer."""
        headers = {"Content-Type": "application/json"} if content is not None else {}
        read = self._timeout_seconds if timeout_seconds is None else timeout_seconds
        try:
            answer = self._pool.urlopen(
                method,
                f"{self._prefix}{path}",
                body=content,
                headers=self._headers | headers,
                timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=read),
                retries=False,  # the callers know when to try again
                redirect=False,
            )
        except urllib3.exceptions.HTTPError as error:
            raise self._away(method, path, error) from error
        return _accepted(method, path, answer.status, answer.data)

    def _away(self, method: str, path: str, error: Exception) -> ServerUnreachable:
        return ServerUnreachable(f"{method} {self._server}{path}: {type(error).__name__}: {error}")


def _accepted(method: str, path: str, status: int, body: bytes) -> tuple[int, bytes]:
    """Status and body, of an answer that is no refusal."""
    if 200 <= status < 300:
        return status, body
    message = f"{method} {path} was answered {status}: {body.decode(errors='replace')[:500]}"
    if status in _FENCED:
        raise Fenced(message)
    if status in _PASSING or status >= 500:
        raise ServerUnreachable(message)
    raise ServerRefused(status, message)


def _patiently(call: Callable[[], Answer], patience_seconds: float) -> Answer:
    """Call again while the server is away, for a while."""
    deadline, backoff = time.monotonic() + patience_seconds, Backoff()
    while True:
        try:
            return call()
        except ServerUnreachable:
            if time.monotonic() >= deadline:
                raise
            threading.Event().wait(backoff.next_seconds())


class Backoff:
    """Waits between tries: doubling from 50 ms to 2 s, each shortened by up to a half at random,
    so that a fleet of trials doesn't come back in step."""

    def __init__(self) -> None:
        self._ceiling = 0.05

    def next_seconds(self) -> float:
        """Length of the next wait."""
        ceiling = self._ceiling
        self._ceiling = min(2.0, 2 * ceiling)
        return ceiling * random.uniform(0.5, 1.0)

    def reset(self) -> None:
        """A try succeeded."""
        self._ceiling = 0.05
