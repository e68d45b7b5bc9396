"""Decide what to do next: the state of the world in, a list of actions out. Pure.

Every action can be repeated and be lost in a crash. Actions of different tasks are independent
of each other and may be carried out at once; of each task at most one at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from modelyard.api import Desired, FailureView, TrialState
from modelyard.contract import Stop
from modelyard.sweep.budget import hung_at, overdue, timed_out_at
from modelyard.sweep.failures import Category, category_of, classify
from modelyard.sweep.verdict import Verdict, verdict
from modelyard.sweep.world import (
    COUNTED,
    Action,
    Ask,
    Clean,
    End,
    Finish,
    Halt,
    Launch,
    LaunchView,
    Outcome,
    Policy,
    Record,
    Report,
    TaskView,
    Tell,
    World,
)

EQUAL_BUGS = 3
"""So many equal bugs in a row are a fault of the experiment, not of its parameters."""

FIRST_BATCH = 16
"""So many trials of a new sweep are asked for before the first is launched, then all launched
together: sampling between launches would leave the last of them behind in every round. More
would keep the first trial waiting."""


@dataclass(frozen=True, kw_only=True)
class _Ending:
    """Why no more is launched; ``told`` is what unfinished trials are told, None for nothing."""

    stop: Stop
    outcome: Outcome
    told: TrialState | None = None
    message: str = ""
    failure: FailureView | None = None


@dataclass(frozen=True, kw_only=True)
class _Judged:
    """``foreseen`` is the verdict that follows once ends that can be seen are written down."""

    task: TaskView
    verdict: Verdict | None
    foreseen: Verdict | None

    @property
    def alive(self) -> bool:
        """Its newest launch isn't written down as ended."""
        return bool(self.task.launches) and self.task.launches[-1].row.ended_at is None

    def ended_at(self, world: World) -> float:
        """When its newest launch ended; now, if that isn't written down."""
        return self.task.launches[-1].row.ended_at or world.now


def plan(world: World, policy: Policy) -> list[Action]:
    """The actions that bring the world nearer to what is wanted, the most urgent first.

    Carrying them out in any order, again, or in part, and planning anew, ends with exactly
    ``policy.trials`` trials at an end, each told once, and no job left.

    Args:
        world: as it is now.
        policy: what is wanted.

    Returns:
        Actions; a single ``Finish`` once there is nothing to do or to wait for; none when
        there is something to wait for (see ``deadline``).
    """
    tasks = [_judge(task, world, policy) for task in world.tasks]
    ending = _ending(tasks, world, policy)
    actions: list[Action] = [] if ending else list(_launches(tasks, world, policy))
    for judged in tasks:
        actions += _halts(judged, ending, world, policy)
        actions += _ends(judged, ending)
        actions += _settles(judged, ending)
        actions += _reports(judged)
        actions += _cleans(judged)
    if ending is None:
        actions += _asks(tasks, policy)
    return actions or list(_finish(tasks, ending, policy))


def deadline(world: World, policy: Policy) -> float | None:
    """When to plan again though nothing happens: the next limit or back-off to run out."""
    times = [policy.ends_at]
    for task in world.tasks:
        judged = _judge(task, world, policy)
        if judged.verdict is not None:
            times.append(judged.verdict.relaunch_at)
        if judged.alive and task.launches[-1].row.stop is None:
            times += [hung_at(task.launches[-1], policy), timed_out_at(task, policy)]
    return min((at for at in times if at is not None and at > world.now), default=None)


def _judge(task: TaskView, world: World, policy: Policy) -> _Judged:
    rows = [launch.row for launch in task.launches]
    found = verdict(rows, policy, world.started_at)
    foreseen = found
    if found is None and task.launches[-1].gone:
        *earlier, newest = rows
        failure = classify(newest, task.launches[-1].job)
        ended = replace(newest, ended_at=world.now, failure=failure)
        foreseen = verdict([*earlier, ended], policy, world.started_at)
    return _Judged(task=task, verdict=found, foreseen=foreseen)


def _ending(tasks: list[_Judged], world: World, policy: Policy) -> _Ending | None:
    if policy.desired is Desired.CANCELLED:
        return _Ending(stop=Stop.CANCELLED, told=TrialState.CANCELLED, outcome=Outcome.CANCELLED)
    failure = _fatal(tasks, world)
    if failure is not None:
        return _Ending(
            stop=Stop.INTERRUPTED,
            outcome=Outcome.FAILED,
            message=failure.summary,
            failure=failure,
        )
    if policy.desired is Desired.INTERRUPTED:
        return _Ending(stop=Stop.INTERRUPTED, outcome=Outcome.INTERRUPTED)
    late = policy.ends_at is not None and world.now >= policy.ends_at
    if late and _counted(tasks) < policy.trials:
        complete = any(judged.task.told is TrialState.COMPLETE for judged in tasks)
        return _Ending(
            stop=Stop.BUDGET,
            told=TrialState.CANCELLED,
            outcome=Outcome.COMPLETE if complete else Outcome.FAILED,
            message=f"The sweep's time ended with {_counted(tasks)} of {policy.trials} trials.",
        )
    return None


def _fatal(tasks: list[_Judged], world: World) -> FailureView | None:
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


def _bug(judged: _Judged, world: World) -> FailureView | None:
    failure = None if judged.foreseen is None else judged.foreseen.failure
    if failure is None or category_of(failure) is not Category.BUG:
        return None
    return failure if judged.ended_at(world) >= world.started_at else None


def _launches(tasks: list[_Judged], world: World, policy: Policy) -> Iterator[Launch]:
    free = policy.parallel - sum(_holds_slot(judged, policy) for judged in tasks)
    if _gathering(tasks, policy):
        free = 0
    for judged in tasks:
        task = judged.task
        if task.told is not None or task.prune or task.launching:
            continue
        if judged.alive and task.launches[-1].unstarted:
            yield Launch(task=task.task, number=task.launches[-1].row.key.number)
        elif free > 0 and _due(judged, world):
            free -= 1
            yield Launch(task=task.task, number=_next_number(task))


def _gathering(tasks: list[_Judged], policy: Policy) -> bool:
    """The first trials of a sweep are still being asked for."""
    fresh = not any(judged.task.launches or judged.task.told for judged in tasks)
    return fresh and len(tasks) < min(FIRST_BATCH, policy.parallel, policy.trials)


def _due(judged: _Judged, world: World) -> bool:
    at = None if judged.verdict is None else judged.verdict.relaunch_at
    return at is not None and at <= world.now


def _holds_slot(judged: _Judged, policy: Policy) -> bool:
    if judged.task.launching or not judged.alive:
        return judged.task.launching
    newest = judged.task.launches[-1]
    return not newest.gone and not (policy.overlap and newest.row.result is not None)


def _next_number(task: TaskView) -> int:
    return task.launches[-1].row.key.number + 1 if task.launches else 1


def _halts(judged: _Judged, ending: _Ending | None, world: World, policy: Policy) -> Iterator[Halt]:
    task = judged.task
    for launch in task.launches:
        row = launch.row
        if row.ended_at is not None or launch.gone or launch.unstarted or launch.signalled:
            continue
        reason = row.stop or _stop_reason(judged, launch, ending, world, policy)
        if reason is not None:
            yield Halt(task=task.task, key=row.key, reason=reason)


def _stop_reason(
    judged: _Judged, launch: LaunchView, ending: _Ending | None, world: World, policy: Policy
) -> Stop | None:
    late = overdue(judged.task, world.now, policy)
    if launch.row.result is not None:
        return late  # it is about to end by itself
    if judged.task.told is not None:
        return Stop.CANCELLED
    if judged.task.prune:
        return Stop.PRUNED
    return ending.stop if ending is not None else late


def _ends(judged: _Judged, ending: _Ending | None) -> Iterator[End]:
    unwanted = ending is not None or judged.task.told is not None or judged.task.prune
    for launch in judged.task.launches:
        if launch.row.ended_at is None and (launch.gone or (launch.unstarted and unwanted)):
            failure = classify(launch.row, launch.job)
            yield End(task=judged.task.task, key=launch.row.key, failure=failure)


def _settles(judged: _Judged, ending: _Ending | None) -> Iterator[Action]:
    """Tell what is decided, then write it down; what is undecided is written down as it is."""
    task, found = judged.task, judged.verdict
    state = None if found is None else found.state
    if state is None and not judged.alive:
        state = TrialState.PRUNED if task.prune else ending.told if ending else None
    if task.told is None and state is not None and not task.reports:
        yield Tell(task=task.task, state=state, result=found.result if found else None)
        return
    running = any(launch.row.ended_at is None for launch in task.launches)
    seen = task.told or (TrialState.RUNNING if running else TrialState.WAITING)
    if task.recorded is not seen:
        yield Record(
            task=task.task,
            state=seen,
            failure=found.failure if found is not None and task.told is not None else None,
            result=found.result if found is not None and task.told is not None else None,
        )


def _reports(judged: _Judged) -> Iterator[Report]:
    """Steps that the sampler hasn't seen; before Tell, after which it takes no more."""
    if judged.task.told is None and judged.task.reports:
        yield Report(task=judged.task.task, values=judged.task.reports)


def _cleans(judged: _Judged) -> Iterator[Clean]:
    """Jobs whose end is written down; the last one of a trial only after Tell and Record."""
    task = judged.task
    settled = task.told is not None and task.recorded is task.told
    undecided = judged.verdict is not None and judged.verdict.state is None
    for launch in task.launches:
        older = launch is not task.launches[-1]
        if launch.job is None or launch.row.ended_at is None:
            continue
        if settled or undecided or older:
            yield Clean(task=task.task, key=launch.row.key)


def _asks(tasks: list[_Judged], policy: Policy) -> Iterator[Ask]:
    if not policy.ahead and any(_untold(judged) for judged in tasks):
        return  # first what the sampler is to learn from
    kept = sum(judged.task.told is not TrialState.CANCELLED for judged in tasks)
    busy = sum(_holds_slot(judged, policy) for judged in tasks)
    idle = sum(judged.task.told is None and not judged.task.launches for judged in tasks)
    ahead = 0 if _gathering(tasks, policy) else policy.ahead
    wanted = policy.parallel - busy + ahead - idle
    for offset in range(max(0, min(wanted, policy.trials - kept))):
        yield Ask(task=str(len(tasks) + offset))


def _untold(judged: _Judged) -> bool:
    decided = judged.verdict is not None and judged.verdict.state is not None
    return decided and judged.task.told is None


def _counted(tasks: list[_Judged]) -> int:
    return sum(judged.task.told in COUNTED for judged in tasks)


def _finish(tasks: list[_Judged], ending: _Ending | None, policy: Policy) -> Iterator[Finish]:
    if any(judged.alive or judged.task.launching for judged in tasks):
        return
    if ending is not None:
        yield Finish(outcome=ending.outcome, message=ending.message, failure=ending.failure)
    elif _counted(tasks) >= policy.trials:
        yield _conclusion(tasks, policy)


def _conclusion(tasks: list[_Judged], policy: Policy) -> Finish:
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
