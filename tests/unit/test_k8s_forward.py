"""A port that leads to a pod, over an API server that is nothing but its wire."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue

import pytest
import yaml
from aiohttp import WSMsgType, web

from modelyard.errors import ClusterRefused
from modelyard.k8s.forward import forward

PORT = 4300
READY = {"conditions": [{"type": "Ready", "status": "True"}]}
SERVICE = {"spec": {"selector": {"app": "yard"}, "ports": [{"port": PORT}]}}
POD = {"metadata": {"name": "yard-0"}, "spec": {"containers": [{"name": "yard"}]}, "status": READY}
FIRST_FRAME = PORT.to_bytes(2, "little")
DEADLINE = 120.0


async def service(_: web.Request) -> web.Response:
    return web.json_response(SERVICE)


async def pods(_: web.Request) -> web.Response:
    return web.json_response({"items": [POD]})


async def echo_once(request: web.Request) -> web.WebSocketResponse:
    """The pod says what it hears in capitals, and hangs up."""
    tunnel = web.WebSocketResponse(protocols=("v4.channel.k8s.io",))
    await tunnel.prepare(request)
    for channel in (b"\0", b"\1"):
        await tunnel.send_bytes(channel + FIRST_FRAME)
    async for message in tunnel:
        assert message.type is WSMsgType.BINARY
        await tunnel.send_bytes(message.data.upper())
        break
    await tunnel.close()
    return tunnel


@contextmanager
def api_server() -> Iterator[str]:
    """The API on a free port, in a thread of its own."""
    app = web.Application()
    path = "/api/v1/namespaces/yard"
    app.router.add_get(f"{path}/services/yard", service)
    app.router.add_get(f"{path}/pods", pods)
    app.router.add_get(f"{path}/pods/yard-0/portforward", echo_once)
    listening = socket.create_server(("127.0.0.1", 0))
    loops: SimpleQueue[asyncio.AbstractEventLoop] = SimpleQueue()
    ended = asyncio.Event()

    async def serve() -> None:
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.SockSite(runner, listening).start()
        loops.put(asyncio.get_running_loop())
        await ended.wait()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    loop = loops.get(timeout=DEADLINE)
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(DEADLINE)


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A kubeconfig of the API server, named after the library's import."""
    with api_server() as address:
        config = {
            "clusters": [{"name": "wire", "cluster": {"server": address}}],
            "contexts": [{"name": "wire", "context": {"cluster": "wire", "user": "me"}}],
            "users": [{"name": "me", "user": {}}],
            "current-context": "wire",
        }
        (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
        yield


def tunnels() -> list[threading.Thread]:
    """The threads that carry a tunnel."""
    return [t for t in threading.enumerate() if t.name.startswith("Kubernetes port forward")]


@pytest.mark.usefixtures("cluster")
def test_a_tunnel_whose_far_side_says_farewell_leaves_nothing_open() -> None:
    """What the pod said arrives, then the end; no socket stays for the collector to find."""
    with forward("yard", "yard", PORT) as address:
        host, port = address.split(":")
        with socket.create_connection((host, int(port)), timeout=DEADLINE) as near:
            near.sendall(b"hello")
            said = b"".join(iter(lambda: near.recv(64), b""))
    for thread in tunnels():
        thread.join(DEADLINE)

    assert said == b"HELLO"
    assert not tunnels()
    gc.collect()  # a socket left open warns here, and warnings are errors


@pytest.mark.usefixtures("cluster")
def test_a_service_that_is_not_there_is_said_at_once() -> None:
    """The one who asks for the port learns it, not the first connection."""
    with (
        pytest.raises(ClusterRefused, match="service other in namespace yard: Not Found"),
        forward("yard", "other", PORT),
    ):
        pass
