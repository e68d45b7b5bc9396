"""One launch as the Kubernetes executor keeps it, and what it keeps of an object."""

from __future__ import annotations

from dataclasses import dataclass

from modelyard.contract import LaunchKey
from modelyard.executor import Job, JobPhase
from modelyard.k8s.answers import Json
from modelyard.k8s.client import models
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
        pod: its pod as last seen, cut down.
        pod_gone: that pod is gone.
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
    pod: Json | None = None
    pod_gone: bool = False
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
    def pod_name(self) -> str | None:
        """Name of its pod while that exists."""
        if self.pod is None or self.pod_gone:
            return None
        return str(self.pod["metadata"]["name"])

    @property
    def alone(self) -> bool:
        """Whether its Job has ended or is gone, and a pod of it was never seen."""
        over = self.deleted or (self.job is not None and finished(self.job))
        return over and self.pod is None


def cut(thing: Json) -> Json:
    """The parts of an object that decide anything: a tenth of it in memory."""
    metadata, spec = thing["metadata"], thing.get("spec", {})
    keep = ("name", "namespace", "uid", "labels", "deletionTimestamp", "deletionGracePeriodSeconds")
    return {
        "metadata": {name: metadata[name] for name in keep if name in metadata},
        "spec": {name: spec[name] for name in ("nodeName", "suspend") if name in spec},
        "status": thing.get("status") or {},
    }


def owner_of(pod: Json) -> str:
    """The uid of a pod's Job; empty where it has none."""
    owners = pod["metadata"].get("ownerReferences") or []
    return next((str(owner["uid"]) for owner in owners if owner["kind"] == "Job"), "")
