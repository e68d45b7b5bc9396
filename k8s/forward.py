"""A port of this machine that leads to a Service of the cluster, as ``kubectl port-forward`` does.

Each connection goes through a tunnel of its own to a pod that is ready at that time, so a server
that restarts is found again by the next connection.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from typing import TypeAlias

from modelyard.errors import ClusterRefused, ClusterUnreachable
from modelyard.k8s.answers import Json
from modelyard.k8s.client import Tunnels

LOG = logging.getLogger(__name__)

BLOCK_BYTES = 1 << 16

Connect: TypeAlias = Callable[[], socket.socket]


@contextmanager
def forward(
    namespace: str, service: str, port: int, *, context: str | None = None
) -> Iterator[str]:
    """Listen on this machine for a Service of the cluster.

    Args:
        port: of the Service.
        context: of the kubeconfig; its current one when None.

    Yields:
        The address here, ``127.0.0.1:PORT``.

    Raises:
        InputError: there is no kubeconfig, or it can't be used.
        ClusterRefused, ClusterUnreachable: the Service can't be reached now.
    """
    tunnels = Tunnels(namespace, context)
    target = partial(_connect, tunnels, service, port)
    with closing(tunnels), socket.create_server(("127.0.0.1", 0)) as listening:
        target().close()  # what is wrong is said here, and not to each connection
        accepting = threading.Thread(
            target=_accept, args=(listening, target), name=f"forward {service}", daemon=True
        )
        accepting.start()
        try:
            yield f"127.0.0.1:{listening.getsockname()[1]}"
        finally:
            listening.shutdown(socket.SHUT_RDWR)  # wakes accept()
            accepting.join()


def choose(service: Json, pods: Sequence[Json], port: int) -> tuple[str, int] | None:
    """The ready pod to go to, and its port; None where no pod is ready.

    Args:
        service: the Service.
        pods: those that its selector matches.
        port: of the Service.
    """
    ports = service["spec"].get("ports") or []
    target = next((one.get("targetPort", port) for one in ports if one["port"] == port), port)
    for pod in pods:
        conditions = pod.get("status", {}).get("conditions") or []
        ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
        if ready and "deletionTimestamp" not in pod["metadata"]:
            named = {
                one.get("name"): one["containerPort"]
                for container in pod["spec"]["containers"]
                for one in container.get("ports") or []
            }
            return str(pod["metadata"]["name"]), int(named.get(target, target))
    return None


def _connect(tunnels: Tunnels, name: str, port: int) -> socket.socket:
    service = tunnels.service(name)
    selector = service["spec"].get("selector") or {}
    pods = tunnels.pods(",".join(f"{label}={value}" for label, value in selector.items()))
    chosen = choose(service, pods, port)
    if chosen is None:
        raise ClusterUnreachable(f"No pod of the service {name} is ready.")
    return tunnels.open(*chosen)


def _accept(listening: socket.socket, target: Connect) -> None:
    while True:
        try:
            near, _ = listening.accept()
        except OSError:
            return
        threading.Thread(target=_carry, args=(near, target), daemon=True).start()


def _carry(near: socket.socket, target: Connect) -> None:
    """Carry one connection until either side ends it."""
    with near:
        near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            far = target()
        except (ClusterRefused, ClusterUnreachable) as error:
            LOG.warning("%s", error)
            return
        with closing(far):
            back = threading.Thread(target=_pump, args=(far, near), daemon=True)
            back.start()
            _pump(near, far)
            back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while block := source.recv(BLOCK_BYTES):
            sink.sendall(block)
    for end in (source, sink):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
