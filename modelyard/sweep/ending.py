"""Why a sweep or stage launches no more, and how it ends. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from modelyard.api import Desired, FailureView, TrialState
from modelyard.contract import Stop
from modelyard.sweep.failures import Category, category_of
from modelyard.sweep.judging import Judged
from modelyard.sweep.world import COUNTED, Finish, Outcome, Policy, World

EQUAL_BUGS = 3
"""So many equal bugs in a row are a fault of the experiment, not of its parameters."""


@dataclass(frozen=True, kw_only=True)
class Ending:
    """Why no more is launched; ``told`` is what unfinished trials are told, None for nothing."""

    stop: Stop
    outcome: Outcome
    told: TrialState | None = None
    message: str = ""
    failure: FailureView | None = None


def ending_of(tasks: Sequence[Judged], world: World, policy: Policy) -> Ending | None:
    """The reason to wind down: a wish, a failure that every trial would meet, or the time."""
    if policy.desired is Desired.CANCELLED:
        return Ending(stop=Stop.CANCELLED, told=TrialState.CANCELLED, outcome=Outcome.CANCELLED)
    failure = _fatal(tasks, world)
    if failure is not None:
        return Ending(
            stop=Stop.INTERRUPTED,
            outcome=Outcome.FAILED,
            message=failure.summary,
            failure=failure,
        )
    if policy.desired is Desired.INTERRUPTED:
        return Ending(stop=Stop.INTERRUPTED, outcome=Outcome.INTERRUPTED)
    late = policy.ends_at is not None and world.now >= policy.ends_at
    if late and counted(tasks) < policy.trials:
        complete = any(judged.task.told is TrialState.COMPLETE for judged in tasks)
        return Ending(
            stop=Stop.BUDGET,
            told=TrialState.CANCELLED,
            outcome=Outcome.COMPLETE if complete else Outcome.FAILED,
            message=f"The sweep's time ended with {counted(tasks)} of {policy.trials} trials.",
        )
    return None


def counted(tasks: Sequence[Judged]) -> int:
    """Trials that were told an end which counts."""
    return sum(judged.task.told in COUNTED for judged in tasks)


def finish(tasks: Sequence[Judged], ending: Ending | None, policy: Policy) -> Iterator[Finish]:
    """The end, once no launch is left; nothing while there is something to wait for."""
    if any(judged.alive or judged.task.launching for judged in tasks):
        return
    if ending is not None:
        yield Finish(outcome=ending.outcome, message=ending.message, failure=ending.failure)
    elif counted(tasks) >= policy.trials:
        yield _conclusion(tasks, policy)


def _fatal(tasks: Sequence[Judged], world: World) -> FailureView | None:
    """What makes every further trial pointless, as soon as it can be seen."""
    for judged in tasks:
        if judged.foreseen is not None and judged.foreseen.stops_sweep:
            return judged.foreseen.failure
    ended = [judged for judged in tasks if judged.foreseen and judged.foreseen.state in COUNTED]
    last = sorted((j for j in ended if j.task.launches), key=lambda j: j.ended_at(world))
    bugs = [_bug(judged, world) for judged in last[-EQUAL_BUGS:]]
    first = bugs[0] if len(bugs) == EQUAL_BUGS else None
    if first is None or any(bug is None or bug.summary != first.summary for bug in bugs):
        return None
    summary = f"{EQUAL_BUGS} trials in a row failed with the same error: {first.summary}"
    return first.model_copy(update={"summary": summary})


def _bug(judged: Judged, world: World) -> FailureView | None:
    failure = None if judged.foreseen is None else judged.foreseen.failure
    if failure is None or category_of(failure) is not Category.BUG:
        return None
    return failure if judged.ended_at(world) >= world.started_at else None


def _conclusion(tasks: Sequence[Judged], policy: Policy) -> Finish:
    if any(judged.task.told is TrialState.COMPLETE for judged in tasks):
        return Finish(outcome=Outcome.COMPLETE)
    failures = [j.verdict.failure for j in tasks if j.verdict is not None and j.verdict.failure]
    if policy.trials == 1 and failures:
        return Finish(outcome=Outcome.FAILED, message=failures[0].summary, failure=failures[0])
    message = f"None of the {policy.trials} trials ran to its end."
    if failures:
        message += f" The last failure: {failures[-1].summary}"
    return Finish(
        outcome=Outcome.FAILED,
        message=message,
        failure=failures[-1] if failures else None,
    )
