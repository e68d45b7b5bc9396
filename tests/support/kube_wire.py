"""A Kubernetes API made of lists and scripted watches, to be faulty at will."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from aiohttp import web
from kubernetes.aio import client

from modelyard.contract import LaunchKey
from modelyard.k8s.api import KubernetesApi
from modelyard.k8s.client import Session
from modelyard.k8s.executor import KubernetesExecutor
from modelyard.k8s.labels import SPEC_LABEL, labels_of, spec_label
from modelyard.k8s.settings import KubernetesSettings
from tests.support.cluster import Tokens

CUT = "cut"
END = "end"
TOO_OLD = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old"}}


class KubeWire:
    """What it holds and what it was asked.

    ``watches`` holds, by kind, what the watch says next: an event, ``CUT`` or ``END``.
    ``refusals`` holds, by method and kind, the answers before the true one: status, body, headers.
    ``held`` stops lists of a kind until it is set, after they were read.
    """

    def __init__(self) -> None:
        self.things: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
        self.watches: dict[str, asyncio.Queue[Any]] = defaultdict(asyncio.Queue)
        self.refusals: dict[tuple[str, str], deque[tuple[int, Any, dict[str, str]]]] = defaultdict(
            deque
        )
        self.held: dict[str, asyncio.Event] = {}
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.log = ""
        self._asking = asyncio.Condition()
        self._version = 100

    def job(self, key: LaunchKey, digest: str, **status: Any) -> dict[str, Any]:
        """A Job as it would be stored."""
        labels = {**labels_of(key), SPEC_LABEL: spec_label(digest)}
        return self._stored(str(key), labels, {}, status)

    def pod(self, job: dict[str, Any], **status: Any) -> dict[str, Any]:
        """The pod of a Job as it would be stored."""
        name, uid = job["metadata"]["name"], job["metadata"]["uid"]
        pod = self._stored(f"{name}-x", job["metadata"]["labels"], {"nodeName": "node-1"}, status)
        pod["metadata"]["ownerReferences"] = [{"kind": "Job", "uid": uid, "name": name}]
        return pod

    def put(self, kind: str, thing: dict[str, Any]) -> dict[str, Any]:
        """Store a thing without telling any watch."""
        self.things[kind][thing["metadata"]["name"]] = thing
        return thing

    def tell(self, kind: str, type_: str, thing: dict[str, Any]) -> None:
        """Store or delete a thing, and tell the watch."""
        if type_ == "DELETED":
            self.things[kind].pop(thing["metadata"]["name"], None)
        else:
            self.put(kind, thing)
        self.watches[kind].put_nowait({"type": type_, "object": thing})

    def bookmark(self, kind: str, version: str) -> None:
        """Tell the watch how far it is."""
        thing = {"metadata": {"resourceVersion": version}}
        self.watches[kind].put_nowait({"type": "BOOKMARK", "object": thing})

    def count(self, method: str, kind: str, *, watch: bool | None = None) -> int:
        """How often something was asked for."""
        return sum(
            (m, k) == (method, kind) and watch in (None, "watch" in query)
            for m, k, query in self.asked
        )

    async def until_asked(self, method: str, kind: str, times: int) -> None:
        """Wait until something that is no watch was asked for so many times."""
        async with self._asking:
            await self._asking.wait_for(lambda: self.count(method, kind, watch=False) >= times)

    def _stored(
        self, name: str, labels: dict[str, str], spec: dict[str, Any], status: dict[str, Any]
    ) -> dict[str, Any]:
        self._version += 1
        metadata = {
            "name": name,
            "namespace": "wire",
            "uid": f"uid-{name}",
            "labels": labels,
            "resourceVersion": str(self._version),
        }
        return {"metadata": metadata, "spec": spec, "status": status}

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """One request."""
        kind, name = request.match_info["kind"], request.match_info.get("name")
        self.asked.append((request.method, kind, dict(request.query)))
        async with self._asking:
            self._asking.notify_all()
        if self.refusals[request.method, kind]:
            status, body, headers = self.refusals[request.method, kind].popleft()
            return web.json_response(body, status=status, headers=headers, dumps=_compact)
        if request.path.endswith("/log"):
            return web.Response(text=self.log)
        if "watch" in request.query:
            return await self._watch(request, kind)
        if request.method == "POST":
            return self._create(kind, await request.json())
        if name is None:
            return await self._list(kind)
        if name not in self.things[kind]:
            return web.json_response({"message": f"{name} not found"}, status=404)
        if request.method == "DELETE":
            return web.json_response(self.things[kind].pop(name))
        return web.json_response(self.things[kind][name])

    async def _list(self, kind: str) -> web.Response:
        items = list(self.things[kind].values())
        if kind in self.held:
            await self.held[kind].wait()
        return web.json_response(
            {"metadata": {"resourceVersion": str(self._version)}, "items": items}
        )

    def _create(self, kind: str, body: dict[str, Any]) -> web.Response:
        name = body["metadata"]["name"]
        if name in self.things[kind]:
            return web.json_response({"reason": "AlreadyExists", "message": "exists"}, status=409)
        thing = self._stored(name, body["metadata"]["labels"], body.get("spec", {}), {})
        return web.json_response(self.put(kind, thing), status=201)

    async def _watch(self, request: web.Request, kind: str) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while (said := await self.watches[kind].get()) != END:
            if said == CUT:
                assert request.transport is not None
                request.transport.abort()
                break
            await response.write(_compact(said).encode() + b"\n")
        return response


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


@asynccontextmanager
async def kube_wire(slept: list[float] | None = None) -> AsyncIterator[tuple[KubeWire, Any]]:
    """The API on a free port, and an executor over it, which is closed at the end.

    Args:
        slept: gets the pauses between tries, which then take no time.
    """
    wire, app = KubeWire(), web.Application()
    for group in ("/api/v1", "/apis/batch/v1"):
        path = f"{group}/namespaces/wire/{{kind}}"
        for route in (path, path + "/{name}", path + "/{name}/log"):
            app.router.add_route("*", route, wire.answer)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    (socket,) = site._server.sockets  # type: ignore[union-attr]
    configuration = client.Configuration(host=f"http://127.0.0.1:{socket.getsockname()[1]}")

    async def sleep(seconds: float) -> None:
        assert slept is not None
        slept.append(seconds)

    further = {} if slept is None else {"sleep": sleep}
    api = KubernetesApi(Session(client.ApiClient(configuration)), patience_seconds=30, **further)
    settings = KubernetesSettings(namespace="wire")
    executor = KubernetesExecutor(settings, tokens=Tokens(), api=api)
    try:
        yield wire, executor
    finally:
        with suppress(Exception):
            await executor.close()
        await runner.cleanup()
