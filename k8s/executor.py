"""The executor over a cluster: one launch is one Job, with a pod for each of its nodes.

The cluster holds the state: after a restart everything is read from it again, and Jobs go on
while no server looks. What needs a look at the clock (a quota, a lost node, words for a wait) is
done by ``upkeep``.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Coroutine
from typing import Any

from modelyard.contract import LaunchKey
from modelyard.errors import ClusterRefused, ClusterUnreachable
from modelyard.executor import (
    AlreadyLaunched,
    Capacity,
    Change,
    Evidence,
    Job,
    JobPhase,
    LaunchRequest,
    Snapshot,
    TokenIssuer,
)
from modelyard.k8s.api import KubernetesApi
from modelyard.k8s.entry import Entry
from modelyard.k8s.follower import follow
from modelyard.k8s.labels import MANAGED_BY, OURS, SPEC_LABEL, spec_label
from modelyard.k8s.ledger import STOPPED, Ledger
from modelyard.k8s.manifests import job_of
from modelyard.k8s.settings import KubernetesSettings
from modelyard.k8s.shared import TAKEN, Shared
from modelyard.k8s.sinks import JobSink, PodSink
from modelyard.k8s.upkeep import Upkeep, refusal

LOG = logging.getLogger(__name__)

SELECTOR = f"{MANAGED_BY}={OURS}"
DELETION_SECONDS = 60.0
"""How long a launch waits for a Job of its name that is being deleted."""
DELETION_LOOK_SECONDS = 0.5
RETRY_SECONDS = 5.0
"""Between two tries to create what a quota refused; a deleted Job is the sooner occasion."""

CLEANED = Evidence(reason="Cleaned", message="It was cleaned away while it ran.")


class KubernetesExecutor:
    """An ``Executor`` over Jobs. Belongs to one event loop.

    Args:
        settings: of this installation.
        tokens: makes the token that the launches of a sweep share.
        api: the cluster; that of the settings when None. Closed with the executor.
    """

    def __init__(
        self,
        settings: KubernetesSettings,
        *,
        tokens: TokenIssuer,
        api: KubernetesApi | None = None,
    ) -> None:
        self._settings = settings
        self._api = api
        self._shared = Shared(tokens)
        self._opening = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._following = self._closed = False
        namespaces = settings.all_namespaces
        self._ledger = Ledger(
            unsynced={(name, kind) for name in namespaces for kind in ("jobs", "pods")},
            wants_log=lambda entry: self._spawn(self._read_log(entry)),
            left_behind=lambda entry: self._spawn(self._end_pods(entry, None)),
        )

    @property
    def capacity(self) -> Capacity:
        """See ``Executor.capacity``: what a cluster has is the settings' word."""
        return Capacity(cores=self._settings.parallel, slots=self._settings.parallel)

    async def launch(self, requests: tuple[LaunchRequest, ...]) -> None:
        """See ``Executor.launch``. What is refused for now is kept, and tried again."""
        await self._open()
        for request in requests:
            known = self._ledger.entries.get(request.spec.key)
            digest = spec_label(request.spec.digest)
            if known is None:
                await self._launch(request)
            elif spec_label(known.told.spec_digest) != digest:
                raise AlreadyLaunched(f"{request.spec.key} is launched with another spec")

    async def stop(self, key: LaunchKey, grace_seconds: float) -> None:
        """See ``Executor.stop``.

        Pods are deleted, not their Job: the program gets SIGTERM and the grace, the pod's last
        state is the evidence, and the Job, which may have no others, fails with it.
        """
        await self._open()
        await self._ledger.synced.wait()
        entry = self._ledger.entries.get(key)
        if entry is None or entry.ended:
            return
        entry.stopped = True
        if entry.pod_names:
            await self._end_pods(entry, grace_seconds)
        elif entry.uid:
            await self._delete_job(entry)
        else:  # never created: refused so far, or the answer is still out
            self._ledger.show(entry, JobPhase.FAILED, STOPPED)

    async def clean(self, key: LaunchKey) -> None:
        """See ``Executor.clean``. Doesn't wait for a pod: its node may be gone."""
        await self._open()
        await self._ledger.synced.wait()
        entry = self._ledger.entries.get(key)
        if entry is None:
            return
        if not entry.ended:
            # Else they would have their whole grace, once their Job is gone.
            await self._end_pods(entry, 0.0)
        if entry.uid and not entry.deleted:
            await self._delete_job(entry)
        if self._ledger.entries.get(key) is entry:
            self._ledger.forget(entry, CLEANED)

    async def expect(self, request: LaunchRequest, at_once: int) -> None:
        """See ``Executor.expect``: a cluster gets ready by itself."""

    async def retire(self, sweep: str) -> None:
        """See ``Executor.retire``: the Secret with the sweep's token goes, and the Service."""
        await self._shared.retire(await self._open(), sweep, self._settings.all_namespaces)

    async def watch(self) -> AsyncIterator[Snapshot | Change]:
        """See ``Executor.watch``. Ends when the executor is closed."""
        await self._open()
        await self._ledger.synced.wait()
        queue = self._ledger.subscribe()
        try:
            yield self._ledger.snapshot()
            while not self._closed and (item := await queue.get()) is not None:
                yield item
        finally:
            self._ledger.unsubscribe(queue)

    async def close(self) -> None:
        """See ``Executor.close``. Jobs go on; watches end."""
        self._closed = True
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        if self._api is not None:
            await self._api.close()
        self._ledger.synced.set()
        self._ledger.tell(None)

    async def _open(self) -> KubernetesApi:
        """Connect and follow what there is, once."""
        async with self._opening:
            if self._api is None:
                self._api = await KubernetesApi.connect(self._settings.context)
            if not self._following and not self._closed:
                self._following = True
                self._follow(self._api)
        return self._api

    def _follow(self, api: KubernetesApi) -> None:
        upkeep = Upkeep(api=api, ledger=self._ledger, create=self._create)
        for namespace in self._settings.all_namespaces:
            jobs = JobSink(self._ledger, namespace, freed=upkeep.freed)
            self._spawn(follow(api, "jobs", namespace, SELECTOR, jobs))
            self._spawn(follow(api, "pods", namespace, SELECTOR, PodSink(self._ledger, namespace)))
        self._spawn(upkeep.run())

    async def _launch(self, request: LaunchRequest) -> None:
        spec = request.spec
        entry = Entry(
            key=spec.key,
            namespace=self._settings.namespace_of(request.placement.project),
            told=Job(key=spec.key, spec_digest=spec.digest, phase=JobPhase.WAITING),
            since=asyncio.get_running_loop().time(),
        )
        try:
            entry.manifest = job_of(request, self._settings)
        except ValueError as error:
            self._ledger.accept(entry)
            evidence = Evidence(reason="Invalid", message=f"No Job can be made of it: {error}")
            self._ledger.show(entry, JobPhase.FAILED, evidence)
            return
        self._ledger.accept(entry)
        await self._create(entry)

    async def _create(self, entry: Entry) -> None:
        """Create the Job of an accepted launch, or note when to try again."""
        api, manifest = await self._open(), entry.manifest
        assert manifest is not None
        entry.retry_at = None
        try:
            await self._shared.provide(api, entry)
            job = await self._created(api, entry)
        except (ClusterRefused, ClusterUnreachable) as error:
            phase, evidence = refusal(error)
            if phase is JobPhase.WAITING:
                entry.retry_at = asyncio.get_running_loop().time() + RETRY_SECONDS
            self._ledger.show(entry, phase, evidence)
            return
        except AlreadyLaunched:
            self._ledger.entries.pop(entry.key, None)
            raise
        if entry.ended or self._ledger.entries.get(entry.key) is not entry:
            # It was stopped or cleaned while the request was out.
            await api.delete("jobs", entry.namespace, str(entry.key))
        else:
            self._ledger.created(entry, job)

    async def _created(self, api: KubernetesApi, entry: Entry) -> dict[str, Any]:
        """The Job, new or as an earlier try made it."""
        assert entry.manifest is not None
        until = asyncio.get_running_loop().time() + DELETION_SECONDS
        while True:
            try:
                return await api.create("jobs", entry.manifest)
            except ClusterRefused as error:
                if error.status != TAKEN:
                    raise
            there = await api.get("jobs", entry.namespace, str(entry.key))
            if there is not None and "deletionTimestamp" not in there["metadata"]:
                labels = there["metadata"].get("labels") or {}
                if labels.get(SPEC_LABEL) != spec_label(entry.told.spec_digest):
                    raise AlreadyLaunched(f"there is another Job {entry.key}")
                return there
            if there is not None and asyncio.get_running_loop().time() > until:
                raise ClusterUnreachable(f"The old Job {entry.key} is still being deleted.")
            await asyncio.sleep(DELETION_LOOK_SECONDS)

    async def _delete_job(self, entry: Entry) -> None:
        api = await self._open()
        await api.delete("jobs", entry.namespace, str(entry.key))

    async def _end_pods(self, entry: Entry, grace_seconds: float | None) -> None:
        """Delete the pods; None leaves them their own grace.

        Never without any grace: then their objects would be gone before their programs are.
        """
        api = await self._open()
        grace = None if grace_seconds is None else max(1, math.ceil(grace_seconds))
        for name in entry.pod_names:
            await api.delete("pods", entry.namespace, name, grace_seconds=grace)

    async def _read_log(self, entry: Entry) -> None:
        api, seen = await self._open(), entry.speaker
        entry.log_tail = ""
        if seen is not None and not seen.gone:
            name = str(seen.pod["metadata"]["name"])
            entry.log_tail = await api.log_tail(entry.namespace, name)
        self._ledger.judge(entry)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            LOG.error("a part of the Kubernetes executor failed", exc_info=error)
