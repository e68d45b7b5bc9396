"""One launch as the Kubernetes executor keeps it, and what it keeps of an object."""

from __future__ import annotations

from dataclasses import dataclass, field

from modelyard.contract import LaunchKey
from modelyard.executor import Job, JobPhase
from modelyard.k8s.answers import Json
from modelyard.k8s.client import models
from modelyard.k8s.ranks import Seen, speaker
from modelyard.k8s.status import finished


@dataclass(kw_only=True, eq=False)
class Entry:
    """One launch.

    Args:
        key: its name.
        namespace: where it runs.
        told: what the watchers know of it.
        manifest: what is to be created; None for a Job that was found.
        since: when it was first known, in seconds of the event loop's clock.
        job: the Job as last seen, cut down; None before it is there and once it is deleted.
        uid: the Job's; empty before it is there.
        mark: number of the newest list that may not hold the Job, although it is there.
        deleted: the Job is gone.
        pods: its pods as last seen, by rank; one, unless the launch has several nodes.
        terminating_since: when the pod was first seen on its way out.
        warning: reason and message of the newest warning event.
        read_at: when to look for such an event again.
        log_tail: the last lines, once they were asked for.
        searched: the API server was asked for its pod, and has none.
        stopped: it is to end, on our own wish.
        retry_at: when to try to create the Job again; None when there is nothing to try.
    """

    key: LaunchKey
    namespace: str
    told: Job
    since: float
    manifest: models.V1Job | None = None
    job: Json | None = None
    uid: str = ""
    mark: int = 0
    deleted: bool = False
    pods: dict[int, Seen] = field(default_factory=dict)
    terminating_since: float | None = None
    warning: tuple[str, str] = ("", "")
    read_at: float = 0.0
    log_tail: str | None = None
    searched: bool = False
    stopped: bool = False
    retry_at: float | None = None

    @property
    def ended(self) -> bool:
        """Whether the end of this launch was told."""
        return self.told.phase in (JobPhase.SUCCEEDED, JobPhase.FAILED)

    @property
    def over(self) -> bool:
        """Whether its Job has ended or is gone."""
        return self.deleted or (self.job is not None and finished(self.job))

    @property
    def speaker(self) -> Seen | None:
        """The pod whose state is the launch's."""
        nodes = 1 if self.job is None else self.job["spec"].get("completions") or 1
        return speaker(self.pods, nodes=nodes, over=self.over)

    @property
    def pod_names(self) -> list[str]:
        """Names of its pods that exist, by rank."""
        there = [self.pods[rank] for rank in sorted(self.pods) if not self.pods[rank].gone]
        return [str(seen.pod["metadata"]["name"]) for seen in there]

    @property
    def alone(self) -> bool:
        """Whether its Job has ended or is gone, and a pod of it was never seen."""
        return self.over and not self.pods


def cut(thing: Json) -> Json:
    """The parts of an object that decide anything: a tenth of it in memory."""
    metadata, spec = thing["metadata"], thing.get("spec", {})
    keep = ("name", "namespace", "uid", "labels", "deletionTimestamp", "deletionGracePeriodSeconds")
    return {
        "metadata": {name: metadata[name] for name in keep if name in metadata},
        "spec": {
            name: spec[name] for name in ("nodeName", "suspend", "completions") if name in spec
        },
        "status": thing.get("status") or {},
    }


def owner_of(pod: Json) -> str:
    """The uid of a pod's Job; empty where it has none."""
    owners = pod["metadata"].get("ownerReferences") or []
    return next((str(owner["uid"]) for owner in owners if owner["kind"] == "Job"), "")
