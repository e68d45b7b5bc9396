"""A cluster as a benchmark sees it: one bare watch of Jobs' pods for everybody, by one clock."""

from __future__ import annotations

import asyncio
import base64
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeVar

from modelyard.k8s.answers import Json
from modelyard.k8s.api import KubernetesApi
from modelyard.k8s.follower import follow
from modelyard.k8s.settings import KubernetesSettings

JOB = "batch.kubernetes.io/job-name"
DEADLINE_SECONDS = 120.0

Value = TypeVar("Value")


@dataclass(kw_only=True)
class Seen:
    """When the watch saw a Job's pod run, and ended; and when its program itself says it ended."""

    running_at: float = 0.0
    over_at: float = 0.0
    ended_at: float = 0.0


class ClusterView:
    """Watches the pods of the installation's namespace while the block runs.

    Args:
        settings: name the namespace, and perhaps the kubeconfig's context.
    """

    def __init__(self, settings: KubernetesSettings) -> None:
        self.namespace = settings.namespace
        self._context = settings.context
        self._seen: dict[str, Seen] = {}
        self._changed = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> ClusterView:
        self._thread.start()
        self.api = self.do(KubernetesApi.connect(self._context, patience_seconds=10))
        self._watch: Future[None] = asyncio.run_coroutine_threadsafe(
            follow(self.api, "pods", self.namespace, JOB, self), self._loop
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._watch.cancel()
        self.do(self.api.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def do(self, work: Coroutine[Any, Any, Value]) -> Value:
        """What a coroutine of the watch's loop returns."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(DEADLINE_SECONDS)

    def secret(self, name: str, key: str) -> str:
        """A value of a Secret of the installation."""
        found = self.do(self.api.get("secrets", self.namespace, name))
        return base64.b64decode((found or {})["data"][key]).decode()

    def over(self, job: str) -> Seen:
        """What was seen of the one Job whose name begins so, once its pod has ended."""
        with self._changed:
            self._changed.wait_for(lambda: self._of(job) is not None, DEADLINE_SECONDS)
            found = self._of(job)
        if found is None:
            raise RuntimeError(f"the pod of {job} didn't end in {DEADLINE_SECONDS:g} s")
        return found

    def listing(self) -> int:
        """See ``Sink.listing``."""
        return 0

    def listed(self, items: Sequence[Json], mark: int) -> None:  # noqa: ARG002
        """See ``Sink.listed``."""
        for item in items:
            self.seen(item)

    def seen(self, item: Json) -> None:
        """Note when a pod is first seen to run, and to have ended."""
        now = time.time()
        with self._changed:
            seen = self._seen.setdefault(item["metadata"]["labels"][JOB], Seen())
            for container in item["status"].get("containerStatuses") or ():
                if "running" in container["state"]:
                    seen.running_at = seen.running_at or now
                elif "terminated" in container["state"] and not seen.over_at:
                    said = container["state"]["terminated"].get("message", "")
                    stamp = said.rpartition("\nended ")[2].removeprefix("ended ")
                    with suppress(ValueError):  # others' pods say nothing
                        seen.ended_at = float(stamp)
                        seen.over_at = now
            self._changed.notify_all()

    def gone(self, item: Json) -> None:
        """See ``Sink.gone``."""
        self.seen(item)

    def _of(self, job: str) -> Seen | None:
        return next(
            (s for name, s in self._seen.items() if name.startswith(job) and s.over_at), None
        )


Measured = Callable[[], tuple[float, float]]
"""One turn: seconds from launch to running, and from the program's end to whoever waits for it."""
