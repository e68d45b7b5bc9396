"""What a Job and its pod, as the API shows them, mean for a launch. Pure.

The pod is read first, because it knows first: with one pod a Job, the end of its container is
the end of the launch, and the Job's own condition follows seconds later. The Job speaks where
there is no pod: not yet, or not any more.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

from modelyard.contract import Exit
from modelyard.executor import Evidence, JobPhase
from modelyard.k8s.answers import Json

LOST_SECONDS = 30.0
"""A pod that is Terminating for so much longer than its grace is on a node that is gone."""

WAITING = {
    # the kubelet makes sandbox, volumes and network; events say what it stumbles over
    "ContainerCreating": "ContainerCreating",
    # the same, with containers that run before ours (a service mesh adds such)
    "PodInitializing": "ContainerCreating",
    # the runtime refused; the kubelet tries again
    "CreateContainerError": "ContainerCreating",
    "RunContainerError": "ContainerCreating",
    # a Secret or ConfigMap that the container names isn't there
    "CreateContainerConfigError": "Config",
    # a pull failed, or the kubelet waits before the next
    "ErrImagePull": "ImagePull",
    "ImagePullBackOff": "ImagePull",
    "RegistryUnavailable": "ImagePull",
    "ImageInspectError": "ImagePull",
    # the image's signature isn't one that the node accepts
    "SignatureValidationFailed": "ImagePull",
    # no name of an image at all
    "InvalidImageName": "ImagePull",
    # pull policy Never, and the node doesn't have it
    "ErrImageNeverPull": "ImagePull",
}
"""A container's reason for waiting → our word. Others are unknown."""

UNPLACED = {
    # no node fits; the message is the scheduler's own
    "Unschedulable": "Unschedulable",
    # somebody else decides first: a queue, a scheduling gate
    "SchedulingGated": "Queued",
    # the scheduler itself stumbled, and tries again
    "SchedulerError": "Unschedulable",
}
"""Reason of the condition PodScheduled = False → our word. Others count as unschedulable."""

DISRUPTIONS = {
    # drain, spot reclaim, anybody who uses the eviction API
    "EvictionByEvictionAPI": "DisruptionTarget",
    # a pod of higher priority took the place
    "PreemptionByScheduler": "DisruptionTarget",
    "PreemptionByKubeScheduler": "DisruptionTarget",
    # a taint that isn't tolerated: not ready, unreachable, going away
    "DeletionByTaintManager": "DisruptionTarget",
    # the node is gone from the cluster
    "DeletionByPodGC": "NodeLost",
    # node pressure, or the node shuts down
    "TerminationByKubelet": "Evicted",
}
"""Reason of the condition DisruptionTarget = True → our word. Others are disruptions too."""

POD_ENDS = {
    # node pressure
    "Evicted": "Evicted",
    # longer than activeDeadlineSeconds
    "DeadlineExceeded": "DeadlineExceeded",
    # the node stopped answering
    "NodeLost": "NodeLost",
    # the node shuts down in good order; the words differ by version
    "Terminated": "DisruptionTarget",
    "Shutdown": "DisruptionTarget",
    "NodeShutdown": "DisruptionTarget",
    # the kubelet made place for a critical pod
    "Preempting": "DisruptionTarget",
}
"""A pod's own reason for its failure → our word. Others are told as they are (the kubelet's
refusals: OutOfcpu, NodeAffinity, UnexpectedAdmissionError)."""

CONTAINER_ENDS = {
    # above the memory limit
    "OOMKilled": "OOMKilled",
    # the kubelet found the node restarted, and no trace of the container
    "ContainerStatusUnknown": "NodeLost",
    # the runtime couldn't start the program
    "StartError": "StartError",
    "ContainerCannotRun": "StartError",
    # it ran and ended; the exit code says how
    "Completed": "",
    "Error": "",
    # what stands where the runtime gives no reason
    "": "",
}
"""A terminated container's reason → our word. Others are told as they are."""

_OWN_WORDS = frozenset({Exit.CONFIGURATION, Exit.OUT_OF_MEMORY, Exit.DIVERGED, Exit.FENCED})
"""Exit codes that only our program gives: they say more than why somebody else ended the pod."""

_NO_SUCH_THING = ("executable file not found", "no such file", "not found", "permission denied")


@dataclass(frozen=True, kw_only=True)
class Sight:
    """All that is known of one launch.

    Args:
        job: the Job, None once it is deleted.
        pod: its pod as last seen, None before there was one.
        pod_gone: the pod was deleted.
        terminating_seconds: for how long the pod has been seen to be on its way out.
        warning: reason and message of the newest warning about Job or pod; of what waits only.
    """

    job: Json | None
    pod: Json | None = None
    pod_gone: bool = False
    terminating_seconds: float = 0.0
    warning: tuple[str, str] = ("", "")


def phase_of(sight: Sight) -> tuple[JobPhase, Evidence]:
    """What a launch is at, and how that is known."""
    if sight.pod is None:
        return _without_pod(sight)
    phase, evidence = _with_pod(sight, sight.pod)
    return phase, replace(evidence, host=sight.pod.get("spec", {}).get("nodeName", ""))


def finished(job: Json) -> bool:
    """Whether a Job has ended, whatever is known of its pod."""
    return bool(_condition(job, "Complete") or _condition(job, "Failed"))


def ended(pod: Json) -> bool:
    """Whether a pod's program has ended, or will never start."""
    return bool(exit_of(pod)) or pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def exit_of(pod: Json) -> Json:
    """How its program ended, as the API tells it; empty before."""
    terminated: Json = _container(pod).get("state", {}).get("terminated") or {}
    return terminated


def _with_pod(sight: Sight, pod: Json) -> tuple[JobPhase, Evidence]:
    if ended(pod):
        return _end(pod)
    if sight.pod_gone:
        return JobPhase.FAILED, _taken_away(pod)
    if _lost(sight, pod):
        message = f"The pod is Terminating for {sight.terminating_seconds:.0f} s: its node is gone."
        return JobPhase.FAILED, Evidence(reason="NodeLost", message=message)
    state, phase = _container(pod).get("state", {}), pod.get("status", {}).get("phase")
    if state.get("running") or phase == "Running":
        return JobPhase.RUNNING, Evidence()
    if phase == "Pending":
        return _pending(sight, pod, state.get("waiting") or {})
    return JobPhase.UNKNOWN, Evidence(reason=f"PodPhase{phase}")


def _without_pod(sight: Sight) -> tuple[JobPhase, Evidence]:
    job = sight.job
    if job is None:
        return JobPhase.FAILED, Evidence(reason="Deleted", message="The Job was deleted.")
    if _condition(job, "Complete") or _condition(job, "SuccessCriteriaMet"):
        return JobPhase.SUCCEEDED, Evidence(exit_code=0)
    if failed := _condition(job, "Failed") or _condition(job, "FailureTarget"):
        if failed.get("reason") == "DeadlineExceeded":
            return JobPhase.FAILED, Evidence(
                reason="DeadlineExceeded", message=failed.get("message", "")
            )
        return JobPhase.FAILED, Evidence(reason="Deleted", message="The pod was deleted.")
    if job.get("spec", {}).get("suspend"):
        queue = job["metadata"].get("labels", {}).get("kueue.x-k8s.io/queue-name")
        message = f"The Job waits in the queue {queue}." if queue else "The Job is suspended."
        return JobPhase.WAITING, Evidence(reason="Queued", message=message)
    reason, message = sight.warning
    if reason and "exceeded quota" in message:
        reason = "QuotaExceeded"
    return JobPhase.WAITING, Evidence(reason=reason, message=message)


def _pending(sight: Sight, pod: Json, waiting: Json) -> tuple[JobPhase, Evidence]:
    if waiting:
        said = str(waiting.get("reason", ""))
        word = WAITING.get(said)
        if word is None:
            return JobPhase.UNKNOWN, Evidence(reason=said, message=waiting.get("message", ""))
        if word != "ContainerCreating":
            return JobPhase.WAITING, Evidence(reason=word, message=waiting.get("message", said))
    scheduled = _condition(pod, "PodScheduled", status="False")
    if scheduled:
        word = UNPLACED.get(scheduled.get("reason", ""), "Unschedulable")
        return JobPhase.WAITING, Evidence(reason=word, message=scheduled.get("message", ""))
    reason, message = sight.warning
    missing = reason == "FailedMount" and "not found" in message
    return JobPhase.WAITING, Evidence(
        reason="Config" if missing else "ContainerCreating",
        message=message or waiting.get("message", ""),
    )


def _end(pod: Json) -> tuple[JobPhase, Evidence]:
    terminated = exit_of(pod)
    code = terminated.get("exitCode")
    said, message = str(terminated.get("reason", "")), str(terminated.get("message", ""))
    word = CONTAINER_ENDS.get(said, said)
    if code == 0 or (not terminated and pod["status"]["phase"] == "Succeeded"):
        return JobPhase.SUCCEEDED, _words(Evidence(exit_code=0), message)
    if word == "StartError":
        missing = any(words in message for words in _NO_SUCH_THING)
        return JobPhase.FAILED, Evidence(
            exit_code=code, reason="Config" if missing else word, message=message
        )
    if word == "NodeLost":
        return JobPhase.FAILED, Evidence(reason=word, message=message)
    if not word and code not in _OWN_WORDS:
        word, said = _why(pod, code)
        return JobPhase.FAILED, _words(Evidence(exit_code=code, reason=word, message=said), message)
    return JobPhase.FAILED, _words(Evidence(exit_code=code, reason=word), message)


def _why(pod: Json, code: int | None) -> tuple[str, str]:
    """Who ended a pod that didn't end by itself: our word, and the sentence."""
    status = pod.get("status", {})
    disruption = _condition(pod, "DisruptionTarget")
    said = str(status.get("reason", ""))
    if said in POD_ENDS:
        return POD_ENDS[said], status.get("message", "")
    if disruption:
        word = DISRUPTIONS.get(disruption.get("reason", ""), "DisruptionTarget")
        return word, disruption.get("message", "")
    if said:
        return said, status.get("message", "")
    if "deletionTimestamp" in pod["metadata"] and code in (None, Exit.STOPPED, 137, 143):
        return "Deleted", "The pod was deleted."
    return "", ""


def _taken_away(pod: Json) -> Evidence:
    """A pod that is gone without having ended: deleted by force, or with its node."""
    word, message = _why(pod, None)
    return Evidence(reason=word or "Deleted", message=message or "The pod was deleted by force.")


def _lost(sight: Sight, pod: Json) -> bool:
    if "deletionTimestamp" not in pod["metadata"]:
        return False
    grace = float(pod["metadata"].get("deletionGracePeriodSeconds") or 0)
    return sight.terminating_seconds > grace + LOST_SECONDS


def _words(evidence: Evidence, message: str) -> Evidence:
    """Tell a program's own last message from the log lines that stand in for a missing one."""
    try:
        own = "launch" in json.loads(message)
    except (ValueError, TypeError):
        own = False
    return replace(evidence, termination=message) if own else replace(evidence, log_tail=message)


def _container(pod: Json) -> Json:
    """The status of our container; a mesh may have put others beside it."""
    statuses: list[Json] = pod.get("status", {}).get("containerStatuses") or []
    return next((one for one in statuses if one.get("name") == "trial"), {})


def _condition(thing: Json, kind: str, status: str = "True") -> Json:
    for condition in thing.get("status", {}).get("conditions") or []:
        if condition.get("type") == kind and condition.get("status") == status:
            found: Json = condition
            return found
    return {}
