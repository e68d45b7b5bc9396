"""The Kubernetes API as the executor needs it: the only import of the Kubernetes client.

Answers stay raw JSON: the client's models cost more to fill than a whole watch may take.
Requests have time-outs; what is busy, restarting or cut off is asked again, with back-off and
after what ``Retry-After`` says, until a deadline. Every request here may be repeated.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import random
import socket
import ssl
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from typing import Literal, TypeAlias

import aiohttp
from kubernetes import client as sync
from kubernetes.aio import client as aio
from kubernetes.aio import config as aio_config
from kubernetes.aio.client import models as models
from kubernetes.config import ConfigException, load_kube_config
from kubernetes.config.incluster_config import SERVICE_HOST_ENV_NAME
from kubernetes.stream import portforward, ws_client
from urllib3.exceptions import HTTPError

from modelyard.errors import ClusterRefused, ClusterUnreachable, InputError
from modelyard.k8s.answers import BUSY, Json, answer_of, collided, raise_for, retry_after

Kind: TypeAlias = Literal["jobs", "pods", "events", "secrets", "services"]

PATIENCE_SECONDS = 120.0
"""How long a request is repeated: an API server that restarts is back by then."""
REQUEST_SECONDS = 15.0
"""For one answer."""
LIMITS = (REQUEST_SECONDS, REQUEST_SECONDS)
"""For a connection, and for an answer."""
WATCH_SECONDS = 240
"""After which the API server ends a watch cleanly; it goes on where it was."""
SILENCE_SECONDS = WATCH_SECONDS + 30.0
"""After which a watch counts as cut: it should have ended by then, whatever happens."""
PAGE = 500
FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS = 0.2, 10.0
LOG = logging.getLogger(__name__)

LOG_TAIL_BYTES = 4096
LOG_SECONDS = 5.0
REQUEST_LIMITS = aiohttp.ClientTimeout(total=REQUEST_SECONDS)

_CUT = (aiohttp.ClientError, ConnectionError, TimeoutError, ssl.SSLError)


class KubernetesApi:
    """One cluster's API, for one event loop. Made by ``connect``.

    Args:
        client: configured client of the library.
        patience_seconds: how long a request is repeated.
        sleep: waits for so many seconds between two tries.
    """

    def __init__(
        self,
        client: aio.ApiClient,
        *,
        patience_seconds: float = PATIENCE_SECONDS,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._client = client
        self._patience = patience_seconds
        self._sleep = sleep
        self._refresh: asyncio.Task[None] | None = None

    @classmethod
    async def connect(
        cls, context: str | None = None, *, patience_seconds: float = PATIENCE_SECONDS
    ) -> KubernetesApi:
        """The cluster of this pod, or that of the kubeconfig.

        Args:
            context: of the kubeconfig; its current one when None. Named, a pod's own is not taken.
            patience_seconds: how long a request is repeated.

        Raises:
            InputError: there is no such configuration, or it can't be used.
        """
        configuration = aio.Configuration()
        configuration.connection_pool_maxsize = 100
        loader = None
        try:
            if context is None and "KUBECONFIG" not in os.environ and in_cluster():
                aio_config.load_incluster_config(client_configuration=configuration)
            else:
                loader = await aio_config.load_kube_config(
                    _kubeconfig(),
                    context=context,
                    client_configuration=configuration,
                    persist_config=False,
                )
        except (aio_config.ConfigException, OSError, ValueError) as error:
            raise InputError(f"No cluster can be reached: {error}. Set KUBECONFIG.") from error
        api = cls(aio.ApiClient(configuration), patience_seconds=patience_seconds)
        if loader is not None:
            api._refresh = asyncio.create_task(
                aio_config.refresh_token(loader, configuration), name="kubeconfig token"
            )
        return api

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
                response = await self._send("GET", f"{_path('pods', namespace, pod)}/log", query)
                content = await response.read()
        except (*_CUT, ClusterRefused):
            return ""
        return content[-LOG_TAIL_BYTES:].decode(errors="replace") if response.status == 200 else ""

    async def close(self) -> None:
        """Close all connections."""
        if self._refresh is not None:
            self._refresh.cancel()
            await asyncio.wait({self._refresh})
        await self._client.close()
        await asyncio.sleep(0)  # closed connections are let go of in the loop's next round

    async def _lines(
        self, path: str, query: Mapping[str, str], limits: aiohttp.ClientTimeout
    ) -> AsyncGenerator[bytes, None]:
        response = await self._send("GET", path, query, limits=limits)
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
                response = await self._send(method, path, query, body)
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

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Json | None = None,
        limits: aiohttp.ClientTimeout = REQUEST_LIMITS,
    ) -> aiohttp.ClientResponse:
        request = await self._client.param_serialize(
            method,
            path,
            query_params=list((query or {}).items()),
            header_params={"Accept": "application/json, */*"},
            body=body,
            auth_settings=["BearerToken"],
        )
        answer = await self._client.call_api(*request, _request_timeout=limits)
        response: aiohttp.ClientResponse = answer.response
        return response


class Forwarding(ws_client.PortForward):
    """The library's carrier of a tunnel, which ends both sides however it ends itself.

    The library's own dies of a cut line in its thread, says so nowhere, and leaves whoever reads
    at the near side waiting.
    """

    def _proxy(self) -> None:
        try:
            super()._proxy()  # type: ignore[no-untyped-call]
        except Exception as error:  # whatever a cut line comes to in the library
            LOG.debug("a tunnel ended: %r", error)
        for port in self.local_ports.values():
            port.python.close()
        # close() leaves a socket open that the other side has said farewell on
        self.websocket.shutdown()


# portforward() takes no class of ours.
ws_client.PortForward = Forwarding  # type: ignore[misc]


class Tunnels:
    """Connections to the pods of a namespace, through the API server. Thread-safe.

    Args:
        context: of the kubeconfig; its current one when None.

    Raises:
        InputError: there is no kubeconfig, or it can't be used.
    """

    def __init__(self, namespace: str, context: str | None = None) -> None:
        self._namespace = namespace
        self._configuration = sync.Configuration()
        try:
            load_kube_config(
                _kubeconfig(), context=context, client_configuration=self._configuration
            )
        except (ConfigException, OSError, ValueError) as error:
            raise InputError(f"No cluster can be reached: {error}. Set KUBECONFIG.") from error
        self._configuration.retries = 0  # whoever asks for a connection asks again
        self._reading = self._core()

    def close(self) -> None:
        """End the connections that read what there is; tunnels stay open."""
        self._reading.api_client.rest_client.pool_manager.clear()

    def service(self, name: str) -> Json:
        """A Service. Raises as ``KubernetesApi.create``."""
        with _translated(f"service {name} in namespace {self._namespace}"):
            service = self._reading.read_namespaced_service(
                name, self._namespace, _request_timeout=LIMITS
            )
        found: Json = service.model_dump(by_alias=True, exclude_none=True)
        return found

    def pods(self, selector: str) -> list[Json]:
        """Pods that a label selector matches. Raises as ``KubernetesApi.create``."""
        with _translated(f"pods of namespace {self._namespace}"):
            pods = self._reading.list_namespaced_pod(
                self._namespace, label_selector=selector, _request_timeout=LIMITS
            )
        return [pod.model_dump(by_alias=True, exclude_none=True) for pod in pods.items]

    def open(self, pod: str, port: int) -> socket.socket:
        """A connection to a pod's port; whoever asks closes it. Raises as above."""
        # The library swaps a method of its client for this call: each call needs its own.
        core = self._core()
        with _translated(f"pod {pod} in namespace {self._namespace}"):
            tunnel = portforward(
                core.connect_get_namespaced_pod_portforward, pod, self._namespace, ports=str(port)
            )
        near: socket.socket = tunnel.socket(port)
        return near

    def _core(self) -> sync.CoreV1Api:
        return sync.CoreV1Api(sync.ApiClient(self._configuration))


@contextlib.contextmanager
def _translated(what: str) -> Iterator[None]:
    """The library's errors as ours."""
    try:
        yield
    except sync.ApiException as error:
        if not error.status:
            raise ClusterUnreachable(f"Can't reach {what}: {error.reason}") from error
        raise ClusterRefused(f"{what}: {error.reason}", status=error.status) from error
    except (HTTPError, OSError) as error:
        raise ClusterUnreachable(f"Can't reach {what}: {error}") from error


def in_cluster() -> bool:
    """Whether this process runs in a pod."""
    return SERVICE_HOST_ENV_NAME in os.environ


def _kubeconfig() -> str:
    """The file, or files, as kubectl finds them; the library looks at its import only."""
    return os.environ.get("KUBECONFIG", "~/.kube/config")


def _path(kind: Kind, namespace: str, name: str = "") -> str:
    group = "/apis/batch/v1" if kind == "jobs" else "/api/v1"
    return f"{group}/namespaces/{namespace}/{kind}" + (f"/{name}" if name else "")


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__
