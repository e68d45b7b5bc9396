"""What Jobs and pods, as the API shows them, mean for a launch."""

from __future__ import annotations

from typing import Any

import pytest

from modelyard.executor import JobPhase
from modelyard.k8s.status import Sight, phase_of

JOB: dict[str, Any] = {"metadata": {"name": "a-1-1"}, "spec": {}, "status": {}}
QUOTA = 'Error creating: pods "a-1-1-x" is forbidden: exceeded quota: two'
NOT_MOUNTED = 'MountVolume.SetUp failed for volume "keys" : secret "keys" not found'


def pod(
    phase: str = "Running",
    state: dict[str, Any] | None = None,
    *,
    condition: tuple[str, str, str] | None = None,
    **further: Any,
) -> dict[str, Any]:
    """A pod: its phase, its container's state, one condition, and more of its status."""
    status: dict[str, Any] = {"phase": phase, **further}
    if state is not None:
        status["containerStatuses"] = [{"name": "mesh", "state": {"running": {}}}]
        status["containerStatuses"].append({"name": "trial", "state": state})
    if condition is not None:
        kind, truth, reason = condition
        status["conditions"] = [
            {"type": kind, "status": truth, "reason": reason, "message": f"because {reason}"}
        ]
    return {"metadata": {"name": "p"}, "spec": {"nodeName": "node-1"}, "status": status}


def job(*conditions: tuple[str, str], **spec: Any) -> dict[str, Any]:
    """A Job with conditions that hold: kind and reason."""
    held = [{"type": kind, "status": "True", "reason": reason} for kind, reason in conditions]
    return {**JOB, "spec": spec, "status": {"conditions": held}}


def ended(code: int, reason: str = "Error", message: str = "") -> dict[str, Any]:
    """State of a container that ended."""
    return {"terminated": {"exitCode": code, "reason": reason, "message": message}}


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    """State of a container that waits."""
    return {"waiting": {"reason": reason, "message": message}}


def leaving(of: dict[str, Any], grace: int = 30) -> dict[str, Any]:
    """The pod on its way out."""
    marks = {"deletionTimestamp": "2026-11-21T00:00:00Z", "deletionGracePeriodSeconds": grace}
    return {**of, "metadata": {**of["metadata"], **marks}}


DISRUPTED = "DisruptionTarget"
W, R, S, F, U = (
    JobPhase.WAITING,
    JobPhase.RUNNING,
    JobPhase.SUCCEEDED,
    JobPhase.FAILED,
    JobPhase.UNKNOWN,
)

SIGHTS = {
    "a Job without a pod": (Sight(job=JOB), W, ""),
    "a Job whose pods are refused": (
        Sight(job=JOB, warning=("FailedCreate", "no priority class")),
        W,
        "FailedCreate",
    ),
    "a Job whose pods are over quota": (
        Sight(job=JOB, warning=("FailedCreate", QUOTA)),
        W,
        "QuotaExceeded",
    ),
    "a suspended Job": (Sight(job=job(suspend=True)), W, "Queued"),
    "no node fits": (
        Sight(job=JOB, pod=pod("Pending", condition=("PodScheduled", "False", "Unschedulable"))),
        W,
        "Unschedulable",
    ),
    "a scheduling gate": (
        Sight(job=JOB, pod=pod("Pending", condition=("PodScheduled", "False", "SchedulingGated"))),
        W,
        "Queued",
    ),
    "on a node, not begun": (Sight(job=JOB, pod=pod("Pending")), W, "ContainerCreating"),
    "a mount fails": (
        Sight(
            job=JOB,
            pod=pod("Pending", waiting("ContainerCreating")),
            warning=("FailedMount", "timed out"),
        ),
        W,
        "ContainerCreating",
    ),
    "a mounted secret is missing": (
        Sight(
            job=JOB,
            pod=pod("Pending", waiting("ContainerCreating")),
            warning=("FailedMount", NOT_MOUNTED),
        ),
        W,
        "Config",
    ),
    "a secret is missing": (
        Sight(job=JOB, pod=pod("Pending", waiting("CreateContainerConfigError"))),
        W,
        "Config",
    ),
    "an image is not there": (
        Sight(job=JOB, pod=pod("Pending", waiting("ImagePullBackOff"))),
        W,
        "ImagePull",
    ),
    "a reason nobody knows": (
        Sight(job=JOB, pod=pod("Pending", waiting("Levitating"))),
        U,
        "Levitating",
    ),
    "it runs": (Sight(job=JOB, pod=pod("Running", {"running": {}})), R, ""),
    "it runs and is to end": (
        Sight(job=None, pod=leaving(pod("Running", {"running": {}})), terminating_seconds=60),
        R,
        "",
    ),
    "a phase nobody knows": (Sight(job=JOB, pod=pod("Unknown")), U, "PodPhaseUnknown"),
    "it ended well": (Sight(job=JOB, pod=pod("Succeeded", ended(0, "Completed"))), S, ""),
    "it ended well while it was drained": (
        Sight(
            job=JOB,
            pod=pod(
                "Succeeded",
                ended(0, "Completed"),
                condition=(DISRUPTED, "True", "EvictionByEvictionAPI"),
            ),
        ),
        S,
        "",
    ),
    "it ended badly": (Sight(job=JOB, pod=pod("Failed", ended(1))), F, ""),
    "too much memory": (Sight(job=JOB, pod=pod("Failed", ended(137, "OOMKilled"))), F, "OOMKilled"),
    "drained": (
        Sight(
            job=JOB,
            pod=pod("Failed", ended(75), condition=(DISRUPTED, "True", "EvictionByEvictionAPI")),
        ),
        F,
        DISRUPTED,
    ),
    "preempted by priority": (
        Sight(
            job=JOB,
            pod=pod("Failed", ended(143), condition=(DISRUPTED, "True", "PreemptionByScheduler")),
        ),
        F,
        DISRUPTED,
    ),
    "diverged while it was drained": (
        Sight(
            job=JOB,
            pod=pod("Failed", ended(78), condition=(DISRUPTED, "True", "EvictionByEvictionAPI")),
        ),
        F,
        "",
    ),
    "node pressure": (
        Sight(job=JOB, pod=pod("Failed", reason="Evicted", message="low on memory")),
        F,
        "Evicted",
    ),
    "too long": (
        Sight(job=JOB, pod=pod("Failed", ended(137), reason="DeadlineExceeded")),
        F,
        "DeadlineExceeded",
    ),
    "the kubelet refused": (
        Sight(job=JOB, pod=pod("Failed", reason="OutOfcpu", message="no cpu")),
        F,
        "OutOfcpu",
    ),
    "the node restarted": (
        Sight(job=JOB, pod=pod("Failed", ended(137, "ContainerStatusUnknown"))),
        F,
        "NodeLost",
    ),
    "no such program": (
        Sight(
            job=JOB,
            pod=pod("Failed", ended(128, "StartError", 'exec: "python": not found in $PATH')),
        ),
        F,
        "Config",
    ),
    "the runtime failed": (
        Sight(job=JOB, pod=pod("Failed", ended(128, "StartError", "out of file handles"))),
        F,
        "StartError",
    ),
    "deleted by hand": (
        Sight(job=JOB, pod=leaving(pod("Failed", ended(75))), pod_gone=True),
        F,
        "Deleted",
    ),
    "failed, then deleted": (Sight(job=JOB, pod=leaving(pod("Failed", ended(1)))), F, ""),
    "deleted by force": (
        Sight(job=JOB, pod=leaving(pod("Running", {"running": {}})), pod_gone=True),
        F,
        "Deleted",
    ),
    "its node was removed": (
        Sight(
            job=JOB,
            pod=pod("Running", {"running": {}}, condition=(DISRUPTED, "True", "DeletionByPodGC")),
            pod_gone=True,
        ),
        F,
        "NodeLost",
    ),
    "on its way out for too long": (
        Sight(job=JOB, pod=leaving(pod("Running", {"running": {}})), terminating_seconds=60.5),
        F,
        "NodeLost",
    ),
    "the Job is gone": (Sight(job=None), F, "Deleted"),
    "a failed Job whose pod is gone": (
        Sight(job=job(("Failed", "BackoffLimitExceeded"))),
        F,
        "Deleted",
    ),
    "a Job past its deadline": (
        Sight(job=job(("Failed", "DeadlineExceeded"))),
        F,
        "DeadlineExceeded",
    ),
    "a complete Job whose pod is gone": (Sight(job=job(("Complete", "CompletionsReached"))), S, ""),
}


@pytest.mark.parametrize("name", SIGHTS)
def test_a_sight_means_one_phase_and_reason(name: str) -> None:
    """Each state that Kubernetes knows is one phase of ours, with one of our words."""
    sight, phase, reason = SIGHTS[name]
    seen, evidence = phase_of(sight)

    assert (seen, evidence.reason) == (phase, reason)


def test_the_last_message_is_told_from_log_lines() -> None:
    """What the program left is the termination; log lines that stand in for it are the log."""
    own = '{"launch": "a-1-1", "failure": "no such column"}'
    _, said = phase_of(Sight(job=JOB, pod=pod("Failed", ended(76, message=own))))
    _, silent = phase_of(Sight(job=JOB, pod=pod("Failed", ended(1, message="Traceback\n12"))))
    _, number = phase_of(Sight(job=JOB, pod=pod("Failed", ended(1, message="12"))))

    assert (said.termination, said.log_tail) == (own, "")
    assert (silent.termination, silent.log_tail) == ("", "Traceback\n12")
    assert (number.termination, number.log_tail) == ("", "12")


def test_evidence_names_node_code_and_sentence() -> None:
    """The backend's own sentence and the node are kept."""
    sight = Sight(job=JOB, pod=pod("Failed", reason="Evicted", message="The node was low on disk"))
    _, evidence = phase_of(sight)

    assert (evidence.host, evidence.message) == ("node-1", "The node was low on disk")
