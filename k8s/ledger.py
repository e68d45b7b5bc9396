"""What is known of every launch: Jobs and pods as they were seen, and what was told of them.

The two watches of a namespace bring Jobs and pods in any order; here they are put together by
the Job's uid. An end is told once and stands, whatever is seen later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from modelyard.contract import LaunchKey
from modelyard.executor import Change, Evidence, Job, JobPhase, Snapshot
from modelyard.k8s.answers import Json
from modelyard.k8s.entry import Entry, cut, owner_of
from modelyard.k8s.labels import SPEC_LABEL, key_of, spec_label
from modelyard.k8s.ranks import Seen, rank_of
from modelyard.k8s.status import Sight, phase_of

STOPPED = Evidence(reason="Stopped", message="It was stopped before it started.")

Told = Snapshot | Change | None


@dataclass(kw_only=True)
class Ledger:
    """All launches, and who is told of them. Belongs to one event loop.

    Args:
        unsynced: pairs of namespace and kind that were not listed yet; until then nothing is
            told, because half of what there is would look like the end of the other half.
        wants_log: called for a launch that failed with a last message of its own, whose log
            isn't known; ``judge`` it again once it is.
        left_behind: called for a launch whose Job was deleted while its pod lives.
    """

    unsynced: set[tuple[str, str]]
    wants_log: Callable[[Entry], None]
    left_behind: Callable[[Entry], None]
    synced: asyncio.Event = field(default_factory=asyncio.Event)
    entries: dict[LaunchKey, Entry] = field(default_factory=dict)
    _by_uid: dict[str, Entry] = field(default_factory=dict)
    _orphans: dict[str, dict[int, Json]] = field(default_factory=dict)
    _forgotten: set[str] = field(default_factory=set)
    _watchers: set[asyncio.Queue[Told]] = field(default_factory=set)
    _lists: int = 0

    def snapshot(self) -> Snapshot:
        """Everything there is."""
        return Snapshot(jobs=tuple(entry.told for entry in self.entries.values()))

    def subscribe(self) -> asyncio.Queue[Told]:
        """A queue that gets every change from now on; None is the end."""
        queue: asyncio.Queue[Told] = asyncio.Queue()
        self._watchers.add(queue)
        return queue

    def unsubscribe(self, queue: asyncio.Queue[Told]) -> None:
        """No more of it."""
        self._watchers.discard(queue)

    def tell(self, item: Told) -> None:
        """Tell all watchers."""
        for queue in self._watchers:
            queue.put_nowait(item)

    def begin_list(self) -> int:
        """Number of the list that is about to be asked for."""
        self._lists += 1
        return self._lists

    def accept(self, entry: Entry) -> None:
        """A launch that is to be created."""
        self.entries[entry.key] = entry
        self.tell(Change(job=entry.told))

    def created(self, entry: Entry, job: Json) -> None:
        """Its Job is there, by the API server's own answer."""
        entry.mark = self._lists
        entry.retry_at = None
        self._take_job(entry, job)
        self.judge(entry)

    def show(self, entry: Entry, phase: JobPhase, evidence: Evidence) -> None:
        """Tell a state that no Job shows: a refusal, a stop before there was anything."""
        self._become(entry, phase, evidence)

    def forget(self, entry: Entry, evidence: Evidence) -> None:
        """Tell that a launch is gone; what the watches still bring of it counts no more."""
        if not entry.ended:
            entry.told = replace(entry.told, phase=JobPhase.FAILED, evidence=evidence)
        self.entries.pop(entry.key, None)
        if entry.uid:
            self._by_uid.pop(entry.uid, None)
            if not entry.deleted:
                self._forgotten.add(entry.uid)
        self.tell(Change(job=entry.told, gone=True))

    def job_seen(self, namespace: str, job: Json) -> None:
        """A Job was added or changed."""
        metadata = job["metadata"]
        if metadata["uid"] in self._forgotten:
            return
        entry = self._by_uid.get(metadata["uid"]) or self._find(namespace, metadata)
        if entry is not None:
            self._take_job(entry, job)
            self.judge(entry)

    def job_gone(self, job: Json) -> None:
        """A Job was deleted, by us or by somebody."""
        uid = job["metadata"]["uid"]
        self._forgotten.discard(uid)
        self._orphans.pop(uid, None)
        if (entry := self._by_uid.get(uid)) is not None:
            self._lose_job(entry)

    def jobs_listed(self, namespace: str, jobs: Sequence[Json], mark: int) -> None:
        """All Jobs of a namespace."""
        there = {job["metadata"]["uid"] for job in jobs}
        for job in jobs:
            self.job_seen(namespace, job)
        self._forgotten &= there
        for entry in self._of(namespace):
            if entry.uid and entry.uid not in there and not entry.deleted and entry.mark < mark:
                self._lose_job(entry)
        self._sync(namespace, "jobs")

    def pod_seen(self, pod: Json, *, gone: bool = False) -> None:
        """A pod was added, changed or deleted."""
        uid = owner_of(pod)
        entry = self._by_uid.get(uid)
        if entry is None:
            if gone or uid in self._forgotten:
                self._orphans.pop(uid, None)
            else:
                self._orphans.setdefault(uid, {})[rank_of(pod)] = cut(pod)
            return
        self._take_pod(entry, cut(pod), gone=gone)
        self.judge(entry)

    def pods_listed(self, namespace: str, pods: Sequence[Json]) -> None:
        """All pods of a namespace; those of launches that aren't in it are gone."""
        there = {(owner_of(pod), rank_of(pod)) for pod in pods}
        for uid, orphans in list(self._orphans.items()):
            for rank, pod in list(orphans.items()):
                if pod["metadata"]["namespace"] == namespace and (uid, rank) not in there:
                    del orphans[rank]
            if not orphans:
                del self._orphans[uid]
        for pod in pods:
            self.pod_seen(pod)
        for entry in self._of(namespace):
            lost = [
                rank
                for rank, seen in entry.pods.items()
                if not seen.gone and (entry.uid, rank) not in there
            ]
            for rank in lost:
                entry.pods[rank] = replace(entry.pods[rank], gone=True)
            if lost:
                self.judge(entry)
        self._sync(namespace, "pods")

    def judge(self, entry: Entry) -> None:
        """Say what is new of a launch, if anything is."""
        if self.unsynced or entry.ended or (entry.job is None and not entry.deleted):
            return
        if entry.alone:
            if entry.stopped:
                self._become(entry, JobPhase.FAILED, STOPPED)
                return
            if not entry.searched:
                return  # the other watch may be late: the executor looks for the pod itself
        away, seen = entry.terminating_since, entry.speaker
        phase, evidence = phase_of(
            Sight(
                job=entry.job,
                pod=None if seen is None else seen.pod,
                pod_gone=seen is not None and seen.gone,
                terminating_seconds=0.0 if away is None else _now() - away,
                warning=entry.warning,
            )
        )
        if phase is JobPhase.FAILED and evidence.termination and not evidence.log_tail:
            if entry.log_tail is None:
                self.wants_log(entry)
                return
            evidence = replace(evidence, log_tail=entry.log_tail)
        self._become(entry, phase, evidence)

    def _become(self, entry: Entry, phase: JobPhase, evidence: Evidence) -> None:
        job = replace(entry.told, phase=phase, evidence=evidence)
        if entry.ended or job == entry.told:
            return
        entry.told = job
        self.tell(Change(job=job))

    def _find(self, namespace: str, metadata: Json) -> Entry | None:
        """The launch that a Job of an unknown uid belongs to: expected, or found."""
        labels = metadata.get("labels") or {}
        key = key_of(labels)
        if key is None or str(key) != metadata["name"]:
            return None  # somebody else's Job with our label
        digest = labels.get(SPEC_LABEL, "")
        known = self.entries.get(key)
        if known is not None:
            ours = digest == spec_label(known.told.spec_digest)
            return known if ours and not known.uid and not known.ended else None
        told = Job(key=key, spec_digest=digest, phase=JobPhase.WAITING)
        entry = Entry(key=key, namespace=namespace, told=told, since=_now())
        self.entries[key] = entry
        return entry

    def _take_job(self, entry: Entry, job: Json) -> None:
        entry.job = cut(job)
        if not entry.uid:
            entry.uid = job["metadata"]["uid"]
            self._by_uid[entry.uid] = entry
            for pod in self._orphans.pop(entry.uid, {}).values():
                self._take_pod(entry, pod, gone=False)

    def _take_pod(self, entry: Entry, pod: Json, *, gone: bool) -> None:
        entry.pods[rank_of(pod)] = Seen(pod=pod, gone=gone)
        if "deletionTimestamp" in pod["metadata"] and entry.terminating_since is None:
            entry.terminating_since = _now()

    def _lose_job(self, entry: Entry) -> None:
        entry.job, entry.deleted = None, True
        if entry.pod_names and not entry.ended:
            self.left_behind(entry)
        self.judge(entry)

    def _of(self, namespace: str) -> Iterator[Entry]:
        return (entry for entry in list(self.entries.values()) if entry.namespace == namespace)

    def _sync(self, namespace: str, kind: str) -> None:
        """A list is in. The first of each kind open the gates, each later one ends a gap."""
        self.unsynced.discard((namespace, kind))
        if self.unsynced:
            return
        for entry in list(self.entries.values()):
            self.judge(entry)
        self.synced.set()
        self.tell(self.snapshot())


def _now() -> float:
    return asyncio.get_running_loop().time()
