"""The Kubernetes API as the executor needs it.

Answers stay raw JSON: the client's models cost more to fill than a whole watch may take.
Requests have time-outs; what is busy, restarting or cut off is asked again, with back-off and
after what ``Retry-After`` says, until a deadline. Every request here may be repeated.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import ssl
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Literal, TypeAlias

import aiohttp

from modelyard.errors import ClusterRefused, ClusterUnreachable
from modelyard.k8s.answers import BUSY, Json, answer_of, collided, raise_for, retry_after
from modelyard.k8s.client import REQUEST_SECONDS, Session, models

Kind: TypeAlias = Literal["jobs", "pods", "events", "secrets", "services"]

PATIENCE_SECONDS = 120.0
"""How long a request is repeated: an API server that restarts is back by then."""
FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS = 0.2, 10.0
WATCH_SECONDS = 240
"""After which the API server ends a watch cleanly; it goes on where it was."""
SILENCE_SECONDS = WATCH_SECONDS + 30.0
"""After which a watch counts as cut: it should have ended by then, whatever happens."""
PAGE = 500

LOG_TAIL_BYTES = 4096
LOG_SECONDS = 5.0

_CUT = (aiohttp.ClientError, ConnectionError, TimeoutError, ssl.SSLError)


class KubernetesApi:
    """One cluster's API, for one event loop. Made by ``connect``.

    Args:
        session: with the cluster; closed with this.
        patience_seconds: how long a request is repeated.
        sleep: waits for so many seconds between two tries.
    """

    def __init__(
        self,
        session: Session,
        *,
        patience_seconds: float = PATIENCE_SECONDS,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._session = session
        self._patience = patience_seconds
        self._sleep = sleep

    @classmethod
    async def connect(
        cls, context: str | None = None, *, patience_seconds: float = PATIENCE_SECONDS
    ) -> KubernetesApi:
        """The cluster of this pod, or that of the kubeconfig; see ``Session.connect``.

        Args:
            patience_seconds: how long a request is repeated.

        Raises:
            InputError: there is no such configuration, or it can't be used.
        """
        return cls(await Session.connect(context), patience_seconds=patience_seconds)

    async def create(
        self, kind: Kind, manifest: models.V1Job | models.V1Secret | models.V1Service
    ) -> Json:
        """Create an object; unknown fields are refused.

        Raises:
            ClusterRefused: 409 when the name is taken, 403, 422 and so on.
            ClusterUnreachable: no answer within the patience.
        """
        body: Json = manifest.model_dump(by_alias=True, exclude_none=True)
        path = _path(kind, body["metadata"]["namespace"])
        return await self._ask("POST", path, {"fieldValidation": "Strict"}, body)

    async def get(self, kind: Kind, namespace: str, name: str) -> Json | None:
        """An object, None where there is none. Raises as ``create``."""
        try:
            return await self._ask("GET", _path(kind, namespace, name))
        except ClusterRefused as error:
            if error.status == 404:
                return None
            raise

    async def delete(
        self, kind: Kind, namespace: str, name: str, *, grace_seconds: int | None = None
    ) -> None:
        """Delete an object, what it owns in the background; none is success. Raises as above.

        Args:
            grace_seconds: of a pod, instead of its own.
        """
        body: Json = {"propagationPolicy": "Background"}
        if grace_seconds is not None:
            body["gracePeriodSeconds"] = grace_seconds
        try:
            await self._ask("DELETE", _path(kind, namespace, name), body=body)
        except ClusterRefused as error:
            if error.status != 404:
                raise

    async def list(self, kind: Kind, namespace: str, **selectors: str) -> tuple[list[Json], str]:
        """All objects that match, and the version from which to watch on. Raises as above.

        Args:
            selectors: ``labelSelector`` and ``fieldSelector``.
        """
        items: list[Json] = []
        query = {**selectors, "limit": str(PAGE)}
        while True:
            page = await self._ask("GET", _path(kind, namespace), query)
            items += page["items"]
            if not page["metadata"].get("continue"):
                return items, str(page["metadata"]["resourceVersion"])
            query["continue"] = page["metadata"]["continue"]

    async def watch(
        self, kind: Kind, namespace: str, version: str, **selectors: str
    ) -> AsyncGenerator[Json, None]:
        """Watch events after a version, until the API server ends the watch cleanly.

        Raises:
            Gone: the version is too old; list again.
            ClusterRefused, ClusterUnreachable: it can't be begun, or was cut.
        """
        query = {
            **selectors,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(WATCH_SECONDS),
        }
        limits = aiohttp.ClientTimeout(sock_connect=REQUEST_SECONDS, sock_read=SILENCE_SECONDS)
        try:
            async with contextlib.aclosing(
                self._lines(_path(kind, namespace), query, limits)
            ) as it:
                async for line in it:
                    event: Json = json.loads(line)
                    if event["type"] == "ERROR":
                        raise_for(event["object"])
                    yield event
        except (*_CUT, ValueError) as error:
            raise ClusterUnreachable(f"The watch of {kind} was cut: {_words(error)}") from error

    async def log_tail(self, namespace: str, pod: str) -> str:
        """The last lines that a pod printed; empty where there are none to be had."""
        query = {"tailLines": "80"}
        try:
            async with asyncio.timeout(LOG_SECONDS):
                response = await self._session.send(
                    "GET", f"{_path('pods', namespace, pod)}/log", query
                )
                content = await response.read()
        except (*_CUT, ClusterRefused):
            return ""
        return content[-LOG_TAIL_BYTES:].decode(errors="replace") if response.status == 200 else ""

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def _lines(
        self, path: str, query: Mapping[str, str], limits: aiohttp.ClientTimeout
    ) -> AsyncGenerator[bytes, None]:
        response = await self._session.send("GET", path, query, limits=limits)
        try:
            if response.status != 200:
                raise_for(json.loads(await response.read()))
            # Not readline(), which refuses lines above its limit.
            rest = b""
            async for block in response.content.iter_any():
                *lines, rest = (rest + block).split(b"\n")
                for line in lines:
                    if line:
                        yield line
        finally:
            # A watch is left in the middle; a good-bye would wait for the other side's.
            if response.connection is not None and response.connection.transport is not None:
                response.connection.transport.abort()
            response.close()

    async def _ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Json | None = None,
    ) -> Json:
        """One answer, asked for until the patience is over."""
        until, delay = time.monotonic() + self._patience, FIRST_DELAY_SECONDS
        while True:
            pause = delay
            try:
                response = await self._session.send(method, path, query, body)
                content = await response.read()
                if response.status not in BUSY and not collided(response.status, content):
                    return answer_of(response.status, content)
                words = f"HTTP {response.status}"
                pause = max(pause, retry_after(response.headers.get("Retry-After")))
            except _CUT as error:
                words = _words(error)
            pause *= random.uniform(1.0, 1.25)
            if time.monotonic() + pause > until:
                raise ClusterUnreachable(f"The cluster's API doesn't answer {path}: {words}")
            await self._sleep(pause)
            delay = min(2 * delay, LONGEST_DELAY_SECONDS)


def _path(kind: Kind, namespace: str, name: str = "") -> str:
    group = "/apis/batch/v1" if kind == "jobs" else "/api/v1"
    return f"{group}/namespaces/{namespace}/{kind}" + (f"/{name}" if name else "")


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__
