"""The only import of the Kubernetes client: a session with a cluster's API, tunnels to its pods."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Iterator, Mapping

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
from modelyard.k8s.answers import Json

REQUEST_SECONDS = 15.0
"""For one answer."""
REQUEST_LIMITS = aiohttp.ClientTimeout(total=REQUEST_SECONDS)
LIMITS = (REQUEST_SECONDS, REQUEST_SECONDS)
"""For a connection, and for an answer."""
FAREWELL_SECONDS = 0.25
"""For encrypted connections that were given up in the midst of a request: nobody tells when the
other side has answered their good-bye. The time is aiohttp's ("Graceful Shutdown" in its docs)."""
LOG = logging.getLogger(__name__)


class Session:
    """Connections to one cluster's API, with what it asks of whom it lets in.

    Args:
        client: configured client of the library.
    """

    def __init__(self, client: aio.ApiClient) -> None:
        self._client = client
        self._refresh: asyncio.Task[None] | None = None

    @classmethod
    async def connect(cls, context: str | None = None) -> Session:
        """To the cluster of this pod, or that of the kubeconfig.

        Args:
            context: of the kubeconfig; its current one when None. Named, a pod's own is not taken.

        Raises:
            InputError: there is no such configuration, or it can't be used.
        """
        configuration = aio.Configuration()
        configuration.connection_pool_maxsize = 100
        loader = None
        try:
            if context is None and "KUBECONFIG" not in os.environ and _in_cluster():
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
        session = cls(aio.ApiClient(configuration))
        if loader is not None:
            session._refresh = asyncio.create_task(
                aio_config.refresh_token(loader, configuration), name="kubeconfig token"
            )
        return session

    async def send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Json | None = None,
        limits: aiohttp.ClientTimeout = REQUEST_LIMITS,
    ) -> aiohttp.ClientResponse:
        """One request; its answer's body is still to be read.

        Raises:
            aiohttp.ClientError, OSError: no answer came.
        """
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

    async def close(self) -> None:
        """Close all connections."""
        if self._refresh is not None:
            self._refresh.cancel()
            await asyncio.wait({self._refresh})
        await self._client.close()
        # Closed connections are let go of in the loop's next round, or after their farewell.
        encrypted = self._client.configuration.host.startswith("https")
        await asyncio.sleep(FAREWELL_SECONDS if encrypted else 0)


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


def _in_cluster() -> bool:
    """Whether this process runs in a pod."""
    return SERVICE_HOST_ENV_NAME in os.environ


def _kubeconfig() -> str:
    """The file, or files, as kubectl finds them; the library looks at its import only."""
    return os.environ.get("KUBECONFIG", "~/.kube/config")
