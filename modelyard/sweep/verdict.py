"""What a trial's launches, taken together, come to. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from modelyard.api import FailureView, TrialState
from modelyard.contract import TrialResult
from modelyard.journal.rows import LaunchRow
from modelyard.sweep.failures import Category, category_of, repeated
from modelyard.sweep.world import Policy


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What follows for a trial; exactly one of the three is set.

    Args:
        state: it ended so.
        relaunch_at: it wants its next launch, not before this time.
        stops_sweep: no trial of this sweep can succeed; ``failure`` says why.
    """

    state: TrialState | None = None
    relaunch_at: float | None = None
    stops_sweep: bool = False
    failure: FailureView | None = None
    result: TrialResult | None = None


_STATES = {
    Category.PRUNED: TrialState.PRUNED,
    Category.OUT_OF_MEMORY: TrialState.INFEASIBLE,
    Category.DIVERGED: TrialState.FAILED,
    Category.BUG: TrialState.FAILED,
    Category.TIMED_OUT: TrialState.FAILED,
    Category.CANCELLED: TrialState.CANCELLED,
    Category.BUDGET: TrialState.CANCELLED,
}

_RETRIED = (Category.PREEMPTED, Category.HUNG, Category.INFRASTRUCTURE)


def verdict(rows: Sequence[LaunchRow], policy: Policy, started_at: float) -> Verdict | None:
    """Judge a trial by its launches.

    Args:
        rows: all its launches, oldest first.
        started_at: when the stage was (re)started; failures from before are void, since what
            caused them may have been mended.

    Returns:
        None while its newest launch isn't over.
    """
    result = next((row.result for row in rows if row.result is not None), None)
    if result is not None:
        return _of_result(result, policy)
    if not rows:
        return Verdict(relaunch_at=0.0)
    ended_at, failure = rows[-1].ended_at, rows[-1].failure
    if ended_at is None or failure is None:
        return None
    if ended_at < started_at:
        return Verdict(relaunch_at=ended_at)
    category = category_of(failure)
    if category in _STATES:
        return Verdict(state=_STATES[category], failure=failure)
    if category is Category.CONFIGURATION:
        return Verdict(stops_sweep=True, failure=failure)
    if category in _RETRIED:
        fresh = [row for row in rows if (row.ended_at or started_at) >= started_at]
        return _of_retried(fresh, category, failure, ended_at, policy)
    return Verdict(relaunch_at=ended_at)


def _of_result(result: TrialResult, policy: Policy) -> Verdict:
    for name in policy.metrics:
        value = result.metrics.get(name)
        if value is None or not math.isfinite(value):
            kind = Category.BUG if value is None else Category.DIVERGED
            seen = "no value" if value is None else str(value)
            known = ", ".join(sorted(result.metrics)) or "none"
            failure = FailureView(
                category=kind,
                summary=f"The result holds {seen} for the objective {name}.",
                resolution=f"Metrics of the result: {known}.",
            )
            return Verdict(state=TrialState.FAILED, failure=failure, result=result)
    return Verdict(state=TrialState.COMPLETE, result=result)


def _of_retried(
    rows: Sequence[LaunchRow],
    category: Category,
    failure: FailureView,
    ended_at: float,
    policy: Policy,
) -> Verdict:
    strikes = _strikes(rows, category)
    if strikes >= policy.launches:
        final = Category.NO_PROGRESS if category is Category.PREEMPTED else category
        return Verdict(state=TrialState.FAILED, failure=repeated(failure, final, strikes))
    if category is Category.INFRASTRUCTURE:
        return Verdict(relaunch_at=ended_at + policy.backoff_seconds * 2 ** (strikes - 1))
    return Verdict(relaunch_at=ended_at)


def _strikes(rows: Sequence[LaunchRow], category: Category) -> int:
    """Ends of this class since the trial last saved a newer checkpoint."""
    best, strikes = 0, 0
    for row in rows:
        if (row.checkpoint or 0) > best:
            best, strikes = row.checkpoint or 0, 0
        if row.failure is not None and category_of(row.failure) is category:
            strikes += 1
    return strikes
