"""The trial's side of the wire: documents in, batches out, over one kept-alive connection."""

from __future__ import annotations

import random
import ssl
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TypeVar

import httpx
from pydantic import ValidationError

from modelyard.contract import Document, LaunchKey, Reply
from modelyard.errors import DigestMismatch, Fenced, ServerRefused, ServerUnreachable

_FENCED = frozenset({409, 410})
ARTIFACTS_SECONDS = 60.0
"""How long the server may take for one answer about artifacts: it asks the bucket meanwhile."""
_PASSING = frozenset({408, 425, 429})
"""Refusals that mean "later", like every 5xx."""

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For http:// addresses, which need none: making one takes 20 ms, and it can be shared."""


Answer = TypeVar("Answer")


class Intake:
    """A client of the intake. Used by a few threads, each with its own connection.

    Args:
        server: base URL.
        token: sent as a bearer token when there is one.
        timeout_seconds: how long one answer may take.
    """

    def __init__(self, server: str, token: str | None, *, timeout_seconds: float = 10.0) -> None:
        self._client = httpx.Client(
            base_url=server,
            headers={"Authorization": f"Bearer {token}"} if token else {},
            timeout=httpx.Timeout(timeout_seconds, connect=5.0),
            trust_env=False,  # the intake is never behind a proxy
            verify=True if server.startswith("https://") else NO_TLS,
            limits=httpx.Limits(keepalive_expiry=60.0),
        )

    def __enter__(self) -> Intake:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close()

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
            lambda: self._ask("POST", path, body, ARTIFACTS_SECONDS).content, patience_seconds
        )

    def post(self, key: LaunchKey, batch: bytes) -> Reply:
        """Post a batch, given as JSON.

        Raises:
            Fenced: a newer launch exists, or the task has ended.
            ServerUnreachable: no answer, or "later"; the same batch may be sent again.
            ServerRefused: any other answer; sending it again is no use.
        """
        path = f"/v1/launches/{key.sweep}/{key.task}/{key.number}/events"
        answer = self._ask("POST", path, batch)
        try:
            return Reply.model_validate_json(answer.content)
        except ValidationError as error:
            raise ServerRefused(answer.status_code, f"POST {path}: not a Reply: {error}") from error

    def _document(self, digest: str) -> Document:
        path = f"/v1/documents/{digest}"
        answer = self._ask("GET", path, None)
        try:
            document = Document.model_validate_json(answer.content)
        except ValidationError as error:
            raise ServerRefused(answer.status_code, f"GET {path}: not a Document") from error
        if document.digest != digest:
            raise DigestMismatch(
                f"the server sent the document {document.digest} when {digest} was asked for"
            )
        return document

    def _ask(
        self, method: str, path: str, content: bytes | None, timeout_seconds: float | None = None
    ) -> httpx.Response:
        headers = {"Content-Type": "application/json"} if content is not None else {}
        try:
            answer = self._client.request(
                method,
                path,
                content=content,
                headers=headers,
                timeout=self._client.timeout if timeout_seconds is None else timeout_seconds,
            )
        except httpx.TransportError as error:
            raise ServerUnreachable(
                f"{method} {self._client.base_url}{path}: {type(error).__name__}: {error}"
            ) from error
        if answer.is_success:
            return answer
        message = f"{method} {path} was answered {answer.status_code}: {answer.text[:500]}"
        if answer.status_code in _FENCED:
            raise Fenced(message)
        if answer.status_code in _PASSING or answer.status_code >= 500:
            raise ServerUnreachable(message)
        raise ServerRefused(answer.status_code, message)


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
