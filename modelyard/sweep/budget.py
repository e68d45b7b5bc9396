"""Limits in time and number: how many at once, how long, and when to look again. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from modelyard.contract import Stop
from modelyard.executor import Capacity
from modelyard.journal.rows import LaunchRow
from modelyard.sweep.world import LaunchView, Policy, TaskView

_LOADING_PHASES = (None, "loading", "compiling")


def parallel_trials(asked: int | str, capacity: Capacity, *, threads: int, gpus: int) -> int:
    """Trials at once.

    Args:
        asked: ``budget.parallel``, a number or ``auto``.
        capacity: what the trials share.
        threads: CPU threads of one trial.
        gpus: GPUs that one trial uses where there are any.

    Returns:
        The number asked for; for ``auto`` as many as fit, at least one.
    """
    if isinstance(asked, int):
        return asked
    if capacity.slots is not None:
        return capacity.slots
    if capacity.devices and gpus:
        return max(1, capacity.devices // gpus)
    return max(1, capacity.cores // threads)


def crowd_note(parallel: int, capacity: Capacity, *, threads: int) -> str | None:
    """The sentence for more trials at once than the machine has room for; None where they fit,
    or where GPUs or a scheduler decide how many run."""
    cores = capacity.cores
    if capacity.devices or capacity.slots is not None or parallel * threads <= max(cores, threads):
        return None
    each = "" if threads == 1 else f" with {threads} threads each"
    return f"{parallel} trials at once{each} on {cores} cores: each is slower than it were alone."


def silence_limit(launch: LaunchView, policy: Policy) -> float | None:
    """Seconds of silence that the launch's phase may have; None where no beat is to be expected."""
    if launch.row.phase in _LOADING_PHASES:
        return policy.loading_silence_seconds
    return policy.training_silence_seconds if launch.row.phase_steps else None


def hung_at(launch: LaunchView, policy: Policy) -> float | None:
    """When the launch counts as hung if nothing more is heard of it.

    Receipt by the database's clock counts, never the trial's own time stamps. A launch that
    waits for a place is not silent, and one whose result is accepted has only to exit.
    """
    if launch.waiting:
        return None
    limit = silence_limit(launch, policy)
    if launch.row.result is not None:
        limit = policy.exit_seconds
    last = launch.row.beat_at or launch.running_since or launch.row.created_at
    return None if limit is None else max(last, launch.heard_since) + limit


def timed_out_at(task: TaskView, policy: Policy) -> float | None:
    """When the trial's newest launch will have used up its wall time, over all launches.

    Only time in which they ran counts; None while the newest waits for its place.
    """
    *earlier, newest = task.launches
    if policy.trial_seconds is None or newest.row.result is not None or newest.started_at is None:
        return None
    used = sum(launch.row.ran_seconds(newest.row.created_at) for launch in earlier)
    return newest.started_at + policy.trial_seconds - used


def overdue(task: TaskView, now: float, policy: Policy) -> Stop | None:
    """The limit that the task's newest launch has gone over."""
    late = timed_out_at(task, policy)
    if late is not None and now >= late:
        return Stop.TIMED_OUT
    silent = hung_at(task.launches[-1], policy)
    return Stop.HUNG if silent is not None and now >= silent else None


def busy_seconds(rows: Iterable[LaunchRow], until: float) -> float:
    """Wall time in which at least one launch ran: what a sweep has used of its hours.

    Time in which it stood still (interrupted, without a server) isn't counted; time in which its
    launches waited for their places is: it is the sweep's wall time.

    Args:
        rows: launches that have ended, or still run.
        until: now.
    """
    spans = sorted((row.created_at, row.ended_at or until) for row in rows)
    total, covered = 0.0, float("-inf")
    for begin, end in spans:
        total += max(0.0, end - max(begin, covered))
        covered = max(covered, end)
    return total
