"""Jobs as a client makes and watches them that has no more than HTTP and JSON."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
import yaml

from tests.support.host_server import HostServer

JOBS, PODS = "/apis/batch/v1/namespaces/{}/jobs", "/api/v1/namespaces/{}/pods"
CONNECTIONS = 100
IDLE_SECONDS = 5.0
"""After which a watch that brings nothing is begun again, and the end of the block is noticed."""
MADE_BY_SERVER = ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields")
OF_CONTROLLER = ("controller-uid", "job-name")


@dataclass(kw_only=True)
class Watched:
    """What a watch has seen, by the objects' names.

    Args:
        first: each object as it was first seen.
        ended: when each was first seen to have ended, in seconds since 1970.
        version: as of which it has seen everything.
        error: what ended the watch before its time.
    """

    version: str
    error: Exception | None = None
    first: dict[str, dict[str, Any]] = field(default_factory=dict)
    ended: dict[str, float] = field(default_factory=dict)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def wait(self, names: Callable[[], set[str]], seconds: float) -> None:
        """Until all of these have ended."""
        with self.changed:
            if not self.changed.wait_for(lambda: names() <= self.ended.keys(), seconds):
                left = sorted(names() - self.ended.keys())
                raise AssertionError(f"not ended in {seconds:g} s: {len(left)}, as {left[:3]}")


def pod_ended(pod: dict[str, Any]) -> bool:
    """Whether its containers have ended."""
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def job_ended(job: dict[str, Any]) -> bool:
    """Whether it says that it is over."""
    conditions = job.get("status", {}).get("conditions") or []
    return any(
        one["type"] in ("Complete", "Failed") and one["status"] == "True" for one in conditions
    )


@contextmanager
def watching(
    server: HostServer, path: str, over: Callable[[dict[str, Any]], bool]
) -> Iterator[Watched]:
    """Watch the objects of a kind from here on, in a thread, while the block runs.

    Args:
        path: ``JOBS`` or ``PODS``.
        over: whether an object has ended.
    """
    place, ending = path.format(server.namespace), threading.Event()
    with httpx.Client(**_connection(server), timeout=httpx.Timeout(15, read=IDLE_SECONDS)) as http:
        version = http.get(place).raise_for_status().json()["metadata"]["resourceVersion"]
        seen = Watched(version=version)
        thread = threading.Thread(target=_watch, args=(http, place, seen, over, ending))
        thread.start()
        try:
            yield seen
        finally:
            ending.set()
            thread.join()
        assert seen.error is None, seen.error


def _watch(
    http: httpx.Client,
    place: str,
    seen: Watched,
    over: Callable[[dict[str, Any]], bool],
    ending: threading.Event,
) -> None:
    """Watch, and go on where a watch ended, until told to end."""
    while not ending.is_set():
        query = {"watch": "true", "allowWatchBookmarks": "true", "resourceVersion": seen.version}
        try:
            with suppress(httpx.TransportError), http.stream("GET", place, params=query) as answer:
                for line in _lines(answer.raise_for_status()):
                    event = json.loads(line)
                    seen.version = event["object"]["metadata"]["resourceVersion"]
                    if event["type"] != "BOOKMARK":
                        _note(event["object"], seen, over)
        except Exception as error:  # whoever waits is to know
            seen.error = error
            return


def _lines(answer: httpx.Response) -> Iterator[bytes]:
    # Not iter_lines(), which decodes all it reads.
    rest = b""
    for block in answer.iter_raw():
        *lines, rest = (rest + block).split(b"\n")
        yield from lines


def _note(thing: dict[str, Any], seen: Watched, over: Callable[[dict[str, Any]], bool]) -> None:
    name, now = thing["metadata"]["name"], time.time()
    with seen.changed:
        seen.first.setdefault(name, thing)
        if over(thing):
            seen.ended.setdefault(name, now)
            seen.changed.notify_all()


def alike(job: dict[str, Any], name: str) -> dict[str, Any]:
    """The manifest of a Job that is the same but for its name."""
    metadata = {k: v for k, v in job["metadata"].items() if k not in MADE_BY_SERVER}
    spec = {k: v for k, v in job["spec"].items() if k not in ("selector", "suspend")}
    template = spec["template"]
    labels = template["metadata"]["labels"]
    kept = {k: v for k, v in labels.items() if k.rpartition("/")[2] not in OF_CONTROLLER}
    own = {k: v for k, v in metadata["labels"].items() if k in kept}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {**metadata, "name": name, "labels": own},
        "spec": {
            **spec,
            "template": {**template, "metadata": {**template["metadata"], "labels": kept}},
        },
    }


def create(server: HostServer, manifests: Sequence[dict[str, Any]]) -> None:
    """Create Jobs, as many at once as there are connections."""
    asyncio.run(_create(server, manifests))


async def _create(server: HostServer, manifests: Sequence[dict[str, Any]]) -> None:
    limits = httpx.Limits(max_connections=CONNECTIONS)
    async with httpx.AsyncClient(**_connection(server), limits=limits, timeout=60) as http:
        place = JOBS.format(server.namespace)
        answers = await asyncio.gather(*(http.post(place, json=one) for one in manifests))
    for answer in answers:
        assert answer.status_code == 201, answer.text


def _connection(server: HostServer) -> dict[str, Any]:
    """Address, trust and token of an account with the server's rights."""
    config = yaml.safe_load(server.kubeconfig.read_text())["clusters"][0]["cluster"]
    trusted = ssl.create_default_context(
        cafile=config.get("certificate-authority"),
        cadata=base64.b64decode(config["certificate-authority-data"]).decode()
        if "certificate-authority-data" in config
        else None,
    )
    return {
        "base_url": config["server"],
        "verify": trusted,
        "headers": {"Authorization": f"Bearer {server.bare_token}"},
        "trust_env": False,
    }
