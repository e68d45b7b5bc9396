"""What the end of a launch means: one table from evidence to class. Pure.

A launch's Stop row is read first, because what a program does after it was told to end says
nothing about its trial. Then the backend's own reason, then the exit code, then the signal.
"""

from __future__ import annotations

import signal
from enum import StrEnum
from typing import Any

from modelyard.api import FailureView
from modelyard.contract import Exit, Stop
from modelyard.executor import Evidence, Job
from modelyard.journal.rows import LaunchRow
from modelyard.trial.termination import read_termination


class Category(StrEnum):
    """Class of a launch's end without an accepted result."""

    PREEMPTED = "preempted"  # next launch resumes, no trial charged
    OUT_OF_MEMORY = "out of memory"  # infeasible: the sampler learns a violated constraint
    DIVERGED = "diverged"  # failed
    BUG = "bug"  # failed; three equal ones in a row stop the sweep
    CONFIGURATION = "configuration"  # the sweep stops, no trial charged
    HUNG = "hung"  # next launch; three times is a failure
    INFRASTRUCTURE = "infrastructure"  # next launch with back-off, three at most
    TIMED_OUT = "timed out"  # failed
    NO_PROGRESS = "no progress"  # failed: three launches without a newer checkpoint
    PRUNED = "pruned"
    CANCELLED = "cancelled"
    BUDGET = "budget"
    INTERRUPTED = "interrupted"  # goes on with its next launch when the sweep does


_STOPS = {
    Stop.PRUNED: Category.PRUNED,
    Stop.CANCELLED: Category.CANCELLED,
    Stop.BUDGET: Category.BUDGET,
    Stop.INTERRUPTED: Category.INTERRUPTED,
    Stop.HUNG: Category.HUNG,
    Stop.TIMED_OUT: Category.TIMED_OUT,
    Stop.OUT_OF_MEMORY: Category.OUT_OF_MEMORY,
}

_REASONS = {
    # the fork server read a size above the limit, and ended the process
    "MemoryLimit": Category.OUT_OF_MEMORY,
    # the kubelet's word for the same
    "OOMKilled": Category.OUT_OF_MEMORY,
    # the fork server died, and its children with it; the trials did nothing wrong
    "ForkServerLost": Category.INFRASTRUCTURE,
    # the pod's condition for spot reclaim, drain and preemption by priority
    "DisruptionTarget": Category.PREEMPTED,
    # node pressure
    "Evicted": Category.PREEMPTED,
    # the node stopped answering
    "NodeLost": Category.PREEMPTED,
    # Job or pod was deleted by hand
    "Deleted": Category.PREEMPTED,
    # the cluster refuses us for another reason than a quota
    "Forbidden": Category.CONFIGURATION,
    # no Job can be made of the file's resources, or the API server won't have it
    "Invalid": Category.CONFIGURATION,
    # a secret that isn't there, or an image without our program
    "Config": Category.CONFIGURATION,
    # the container runtime failed to start the program
    "StartError": Category.INFRASTRUCTURE,
    # longer than the pod's activeDeadlineSeconds
    "DeadlineExceeded": Category.TIMED_OUT,
}

_CODES: dict[int, Category] = {
    # ended well, yet the server never accepted a result of it
    Exit.ACCEPTED: Category.INFRASTRUCTURE,
    Exit.BUG: Category.BUG,
    # stopped without our Stop: somebody else sent SIGTERM
    Exit.STOPPED: Category.PREEMPTED,
    Exit.CONFIGURATION: Category.CONFIGURATION,
    Exit.OUT_OF_MEMORY: Category.OUT_OF_MEMORY,
    Exit.DIVERGED: Category.DIVERGED,
    # the newest launch was told that it is not: only a restored journal can do that
    Exit.FENCED: Category.INFRASTRUCTURE,
    # how shells and containers write SIGKILL and SIGTERM
    128 + signal.SIGKILL: Category.PREEMPTED,
    128 + signal.SIGTERM: Category.PREEMPTED,
}

_OUTSIDE_SIGNALS = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT})
"""Signals that only somebody else sends; the others are a program's own crash."""

_SUMMARIES = {
    Category.PREEMPTED: "The process was ended from outside.",
    Category.OUT_OF_MEMORY: "The trial needed more memory than it may use.",
    Category.DIVERGED: "The loss became NaN or infinite.",
    Category.BUG: "The program ended with an error.",
    Category.CONFIGURATION: "The experiment can't run like this.",
    Category.HUNG: "Nothing was heard of it for longer than its phase may be silent.",
    Category.INFRASTRUCTURE: "It ended without a result that the server accepted.",
    Category.TIMED_OUT: "It took longer than a trial may.",
    Category.PRUNED: "The pruner stopped it.",
    Category.CANCELLED: "The sweep was cancelled.",
    Category.BUDGET: "The sweep's time was used up.",
    Category.INTERRUPTED: "It was interrupted.",
}

_RESOLUTIONS = {
    Category.OUT_OF_MEMORY: "Raise resources.memory, or narrow the parameters that set its size.",
    Category.DIVERGED: "Lower the learning rate's upper bound, or set train.clip_norm.",
    Category.BUG: "`modelyard logs {sweep} {task}` shows its traceback.",
    Category.CONFIGURATION: "Mend what the summary names, then go on with --continue.",
    Category.HUNG: "See its log; MODELYARD_HUNG_TRAINING_SECONDS sets the patience.",
    Category.INFRASTRUCTURE: "See the evidence and the server's log.",
    Category.TIMED_OUT: "Raise budget.trial_hours, or lower the epochs.",
    Category.NO_PROGRESS: "Lower train.checkpoint_every, or find out what ends the process.",
}


_WAITED = {
    "ImagePull": "Correct resources.image or the installation's image, or name the Secret for "
    "pulling it in resources.image_pull_secrets, then go on with --continue.",
    "Config": "Make what the summary names in the trials' namespace, then go on with --continue.",
}
"""What to do about what a launch waited for in vain."""

_NO_PLACE = "Ask for less under resources, free some room, or raise budget.waiting_hours."


def classify(launch: LaunchRow, job: Job | None) -> FailureView | None:
    """Say what a launch that is over came to.

    Args:
        launch: its row, with the result and the Stop as the journal has them.
        job: what the executor saw last; None when it knows nothing of this launch (any more).

    Returns:
        The failure, or None when its result was accepted.
    """
    if launch.result is not None:
        return None
    category = _category(launch, job)
    return FailureView(
        category=category,
        summary=_summary(category, launch, job),
        resolution=_RESOLUTIONS.get(category, "").format(
            sweep=launch.key.sweep, task=launch.key.task
        ),
        evidence=_evidence(launch, job),
    )


def given_up(launch: LaunchRow, job: Job, category: Category, what: str) -> FailureView:
    """The failure of a launch that waited longer than that is borne.

    Args:
        job: as it waits; its words are those of scheduler and registry.
        what: it waited for, without the sentence's end.
    """
    seen = job.evidence
    return FailureView(
        category=category,
        summary=f"{what}: {seen.message or seen.reason or 'nobody says why'}",
        resolution=_NO_PLACE if category is Category.TIMED_OUT else _WAITED.get(seen.reason, ""),
        evidence=_evidence(launch, job),
    )


def category_of(failure: FailureView) -> Category:
    """The class of a recorded failure; a word of a newer version counts as infrastructure."""
    try:
        return Category(failure.category)
    except ValueError:
        return Category.INFRASTRUCTURE


def repeated(failure: FailureView, category: Category, times: int) -> FailureView:
    """The failure of a trial whose launches ended ``times`` times without getting on."""
    return failure.model_copy(
        update={
            "category": category.value,
            "summary": f"{times} launches without a newer checkpoint; the last: {failure.summary}",
            "resolution": _RESOLUTIONS.get(category, failure.resolution),
        }
    )


def _category(launch: LaunchRow, job: Job | None) -> Category:
    if launch.stop is not None:
        return _STOPS[launch.stop]
    if job is None:
        # Our own server ended, and its processes with it, or somebody deleted the Job while no
        # server looked: as if it had been interrupted.
        return Category.INTERRUPTED
    evidence = job.evidence
    if evidence.reason in _REASONS:
        return _REASONS[evidence.reason]
    if evidence.exit_code is not None:
        return _CODES.get(evidence.exit_code, Category.BUG)
    if evidence.signal is not None:
        outside = evidence.signal in _OUTSIDE_SIGNALS
        return Category.PREEMPTED if outside else Category.BUG
    return Category.INFRASTRUCTURE


def _summary(category: Category, launch: LaunchRow, job: Job | None) -> str:
    if launch.stop is not None:
        return _SUMMARIES[category]
    if launch.said is not None and _CODES.get(launch.said.exit) is category:
        return launch.said.summary
    if job is None:
        return "It vanished: nothing runs under its name any more."
    left = read_termination(job.evidence.termination, launch.key)
    if launch.said is None and left is not None and left.failure:
        return left.failure
    return " ".join(part for part in (_SUMMARIES[category], _how(job.evidence)) if part)


def _how(evidence: Evidence) -> str:
    if evidence.message:
        return evidence.message
    if evidence.signal is not None:
        try:
            return f"({signal.Signals(evidence.signal).name})"
        except ValueError:
            return f"(signal {evidence.signal})"
    return "" if evidence.exit_code is None else f"(exit code {evidence.exit_code})"


def _evidence(launch: LaunchRow, job: Job | None) -> dict[str, Any]:
    seen = Evidence() if job is None else job.evidence
    said = launch.said
    found = {
        "launch": launch.key.number,
        "exit_code": seen.exit_code,
        "signal": seen.signal,
        "reason": seen.reason,
        "message": seen.message,
        "peak_memory_bytes": seen.peak_memory_bytes,
        "host": seen.host,
        "traceback": "" if said is None else said.detail,
        "step": None if said is None else said.step,
        "log_tail": seen.log_tail,
    }
    return {key: value for key, value in found.items() if value not in (None, "")}
