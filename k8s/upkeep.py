"""What the executor does by the clock: tries again, asks why a launch waits, gives up on nodes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from modelyard.errors import ClusterRefused, ClusterUnreachable
from modelyard.executor import AlreadyLaunched, Evidence, JobPhase
from modelyard.k8s.answers import Json
from modelyard.k8s.api import KubernetesApi
from modelyard.k8s.entry import Entry
from modelyard.k8s.labels import labels_of
from modelyard.k8s.ledger import Ledger

LOG = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
WORDLESS_SECONDS = 2.0
"""How long a launch may wait without a word before the events are read."""
EVENTS_SECONDS, LONGEST_EVENTS_SECONDS = 3.0, 60.0
"""Until they are read again: as long as it has waited already, within these bounds."""
WARNINGS = "type=Warning,reason!=FailedScheduling"
"""Field selector of the events that matter: what the scheduler says is in the pod as well."""

_WORDLESS = ("", "ContainerCreating", "FailedCreate", "QuotaExceeded")
"""Reasons for waiting that only an event explains."""


class Upkeep:
    """Looks once a second.

    Args:
        api: the cluster.
        ledger: all launches.
        create: creates the Job of an accepted launch, or sets when to try again.
    """

    def __init__(
        self,
        *,
        api: KubernetesApi,
        ledger: Ledger,
        create: Callable[[Entry], Awaitable[None]],
    ) -> None:
        self._api = api
        self._ledger = ledger
        self._create = create
        self._wake = asyncio.Event()

    def freed(self, namespace: str) -> None:
        """Jobs that a quota refused are to be tried now."""
        for entry in self._ledger.entries.values():
            if entry.namespace == namespace and entry.retry_at is not None:
                entry.retry_at = 0.0
                self._wake.set()

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            try:
                await self._look()
            except (ClusterRefused, ClusterUnreachable) as error:
                LOG.warning("%s Looking again.", error)

    async def _look(self) -> None:
        now = asyncio.get_running_loop().time()
        wordless: set[str] = set()
        for entry in list(self._ledger.entries.values()):
            if entry.ended:
                continue
            if entry.retry_at is not None:
                if entry.retry_at <= now:
                    await self._try_again(entry)
            elif entry.alone and not entry.searched:
                await self._search(entry)
            elif entry.terminating_since is not None:
                self._ledger.judge(entry)
            elif _wordless(entry, now):
                wordless.add(entry.namespace)
        for namespace in wordless:
            await self._read_events(namespace, now)

    async def _try_again(self, entry: Entry) -> None:
        try:
            await self._create(entry)
        except AlreadyLaunched as error:
            evidence = Evidence(reason="Invalid", message=f"It can't be created: {error}.")
            self._ledger.show(entry, JobPhase.FAILED, evidence)

    async def _search(self, entry: Entry) -> None:
        """Ask for the pod of a Job that has ended: the watch may only be late."""
        selector = ",".join(f"{name}={value}" for name, value in labels_of(entry.key).items())
        pods, _ = await self._api.list("pods", entry.namespace, labelSelector=selector)
        entry.searched = True
        for pod in pods:
            self._ledger.pod_seen(pod)
        self._ledger.judge(entry)

    async def _read_events(self, namespace: str, now: float) -> None:
        """Give each launch that waits the newest warning about its Job or pod."""
        events, _ = await self._api.list("events", namespace, fieldSelector=WARNINGS)
        newest: dict[str, Json] = {}
        for event in sorted(events, key=_when):
            newest[event["involvedObject"].get("uid", "")] = event
        for entry in list(self._ledger.entries.values()):
            if entry.namespace != namespace or entry.ended:
                continue
            pause = max(EVENTS_SECONDS, now - entry.since)
            entry.read_at = now + min(pause, LONGEST_EVENTS_SECONDS)
            seen = entry.speaker
            about = newest.get(entry.uid if seen is None else seen.pod["metadata"]["uid"])
            if about is not None:
                entry.warning = (about.get("reason", ""), about.get("message", ""))
                self._ledger.judge(entry)


def refusal(error: ClusterRefused | ClusterUnreachable) -> tuple[JobPhase, Evidence]:
    """What it means that a Job couldn't be created: it waits, or can never be."""
    message = str(error)
    if isinstance(error, ClusterUnreachable):
        return JobPhase.WAITING, Evidence(reason="ClusterUnreachable", message=message)
    if error.status == 403 and "exceeded quota" in message:
        return JobPhase.WAITING, Evidence(reason="QuotaExceeded", message=message)
    if error.status in (401, 403):
        return JobPhase.FAILED, Evidence(reason="Forbidden", message=message)
    return JobPhase.FAILED, Evidence(reason="Invalid", message=message)


def _wordless(entry: Entry, now: float) -> bool:
    told = entry.told
    return (
        bool(entry.uid)
        and told.phase is JobPhase.WAITING
        and told.evidence.reason in _WORDLESS
        and now >= max(entry.read_at, entry.since + WORDLESS_SECONDS)
    )


def _when(event: Json) -> str:
    """When an event was last seen: RFC 3339, which sorts as text."""
    series = event.get("series") or {}
    return str(
        series.get("lastObservedTime")
        or event.get("lastTimestamp")
        or event.get("eventTime")
        or event["metadata"]["creationTimestamp"]
    )
