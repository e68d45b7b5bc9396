"""Launches that wait: for how long that is borne, and what it means when it isn't. Pure."""

from __future__ import annotations

from modelyard.api import FailureView
from modelyard.executor import Job, JobPhase
from modelyard.sweep.failures import Category, given_up
from modelyard.sweep.world import CONFIG, HELD, IMAGE_PULL, LaunchView, Policy

HOUR = 3600.0

_SHORT = (IMAGE_PULL, CONFIG)
"""What seldom gets better by waiting."""


def words(job: Job) -> str:
    """What a launch waits for, in the scheduler's own words; empty when for nothing."""
    if job.phase is not JobPhase.WAITING:
        return ""
    reason = job.evidence.reason
    return job.evidence.message or (reason if reason in HELD else "")


def waited_out_at(launch: LaunchView, policy: Policy) -> float | None:
    """When the launch is given up if it still waits for the same then; None where it doesn't."""
    times = [_stuck_at(launch, policy), _late_at(launch, policy)]
    return min((at for at in times if at is not None), default=None)


def waited_out(launch: LaunchView, now: float, policy: Policy, *, ran: bool) -> FailureView | None:
    """What it means that the launch has waited for so long; None while that is borne.

    Args:
        ran: a launch of this sweep has run: its image is there, and only this node lacks it.
    """
    job, stuck_at, late_at = launch.job, _stuck_at(launch, policy), _late_at(launch, policy)
    if job is None:
        return None
    if stuck_at is not None and now >= stuck_at:
        if job.evidence.reason == CONFIG:
            return given_up(launch.row, job, Category.CONFIGURATION, "It can't be configured")
        category = Category.INFRASTRUCTURE if ran else Category.CONFIGURATION
        return given_up(launch.row, job, category, "The image can't be pulled")
    if late_at is not None and now >= late_at and policy.waiting_seconds is not None:
        hours = policy.waiting_seconds / HOUR
        what = f"It waited longer than {hours:g} h for its place"
        return given_up(launch.row, job, Category.TIMED_OUT, what)
    return None


def _waits(launch: LaunchView) -> bool:
    return launch.waiting and launch.row.ended_at is None and launch.row.stop is None


def _stuck_at(launch: LaunchView, policy: Policy) -> float | None:
    since = launch.waiting_since
    if not _waits(launch) or launch.job is None or since is None:
        return None
    return since + policy.image_pull_seconds if launch.job.evidence.reason in _SHORT else None


def _late_at(launch: LaunchView, policy: Policy) -> float | None:
    if not _waits(launch) or policy.waiting_seconds is None:
        return None
    # One that was sent back to its queue after it had run has not waited since it was made.
    since = launch.row.created_at if launch.started_at is None else launch.waiting_since
    return None if since is None else since + policy.waiting_seconds
