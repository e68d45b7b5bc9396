"""Decide what to do next: the state of the world in, a list of actions out. Pure.

Every action can be repeated and be lost in a crash. Actions of different tasks are independent
of each other and may be carried out at once; of each task at most one at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from modelyard.api import TrialState
from modelyard.contract import Stop
from modelyard.sweep.budget import hung_at, overdue, timed_out_at
from modelyard.sweep.ending import Ending, ending_of, finish
from modelyard.sweep.failures import classify
from modelyard.sweep.judging import Judged, judge, unposted
from modelyard.sweep.waiting import waited_out_at
from modelyard.sweep.world import (
    Accept,
    Action,
    Ask,
    Clean,
    End,
    Halt,
    Launch,
    LaunchView,
    Policy,
    Record,
    Report,
    TaskView,
    Tell,
    World,
)

FIRST_BATCH = 16
"""So many trials of a new sweep are asked for before the first is launched, then all launched
together: sampling between launches would leave the last of them behind in every round. More
would keep the first trial waiting."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to do now, and when to look again though nothing happens.

    Args:
        actions: the most urgent first; a single ``Finish`` once there is nothing to do or to
            wait for; none when there is something to wait for.
        again_at: the next limit or back-off to run out; None where there is none.
    """

    actions: list[Action]
    again_at: float | None


def plan(world: World, policy: Policy) -> Plan:
    """The actions that bring the world nearer to what is wanted.

    Carrying them out in any order, again, or in part, and planning anew, ends with exactly
    ``policy.trials`` trials at an end, each told once, and no job left.

    Args:
        world: as it is now.
        policy: what is wanted.
    """
    tasks = [judge(task, world, policy) for task in world.tasks]
    # Of a long sweep most trials are settled: they only count.
    busy = [judged for judged in tasks if not judged.task.settled]
    return Plan(
        actions=_actions(tasks, busy, world, policy), again_at=_again_at(busy, world, policy)
    )


def _actions(tasks: list[Judged], busy: list[Judged], world: World, policy: Policy) -> list[Action]:
    ending = ending_of(tasks, world, policy)
    actions: list[Action] = [] if ending else list(_launches(tasks, busy, world, policy))
    for judged in busy:
        actions += _halts(judged, ending, world, policy)
        actions += _ends(judged, ending, policy)
        actions += _settles(judged, ending)
        actions += _reports(judged)
        actions += _cleans(judged)
    if ending is None:
        actions += _asks(tasks, busy, policy)
    return actions or list(finish(tasks, ending, policy))


def _again_at(busy: list[Judged], world: World, policy: Policy) -> float | None:
    times = [policy.ends_at]
    for judged in busy:
        task = judged.task
        if judged.verdict is not None:
            times.append(judged.verdict.relaunch_at)
        if judged.alive and task.launches[-1].row.stop is None:
            newest = task.launches[-1]
            times += [
                hung_at(newest, policy),
                timed_out_at(task, policy),
                waited_out_at(newest, policy),
            ]
    return min((at for at in times if at is not None and at > world.now), default=None)


def _launches(
    tasks: list[Judged], busy: list[Judged], world: World, policy: Policy
) -> Iterator[Launch]:
    free = policy.parallel - sum(judged.holds_slot(policy) for judged in busy)
    if _gathering(tasks, policy):
        free = 0
    for judged in busy:
        task = judged.task
        if task.told is not None or task.prune or task.launching:
            continue
        if judged.alive and task.launches[-1].unstarted:
            # A slot was given on at an end that a crash has made unseen: one too many waits.
            if free < 0:
                free += 1
            else:
                yield Launch(task=task.task, number=task.launches[-1].row.key.number)
        elif free > 0 and _due(judged, world):
            free -= 1
            yield Launch(task=task.task, number=_next_number(task))


def _gathering(tasks: list[Judged], policy: Policy) -> bool:
    """The first trials of a sweep are still being asked for."""
    fresh = not any(judged.task.launches or judged.task.told for judged in tasks)
    return fresh and len(tasks) < min(FIRST_BATCH, policy.parallel, policy.trials)


def _due(judged: Judged, world: World) -> bool:
    at = None if judged.verdict is None else judged.verdict.relaunch_at
    return at is not None and at <= world.now


def _next_number(task: TaskView) -> int:
    return task.launches[-1].row.key.number + 1 if task.launches else 1


def _halts(judged: Judged, ending: Ending | None, world: World, policy: Policy) -> Iterator[Halt]:
    task = judged.task
    if judged.waited_out is not None:
        return  # its end says more than that it was stopped
    for launch in task.launches:
        row = launch.row
        if row.ended_at is not None or launch.gone or launch.unstarted or launch.signalled:
            continue
        reason = row.stop or _stop_reason(judged, launch, ending, world, policy)
        if reason is not None:
            yield Halt(task=task.task, key=row.key, reason=reason)


def _stop_reason(
    judged: Judged, launch: LaunchView, ending: Ending | None, world: World, policy: Policy
) -> Stop | None:
    late = overdue(judged.task, world.now, policy)
    if launch.row.result is not None:
        return late  # it is about to end by itself
    if judged.task.told is not None:
        return Stop.CANCELLED
    if judged.task.prune:
        return Stop.PRUNED
    return ending.stop if ending is not None else late


def _ends(judged: Judged, ending: Ending | None, policy: Policy) -> Iterator[Accept | End]:
    task = judged.task
    unwanted = ending is not None or task.told is not None or task.prune
    for launch in task.launches:
        key, late = launch.row.key, judged.waited_out  # only the newest can wait
        over = launch.gone or late is not None or (launch.unstarted and unwanted)
        if launch.row.ended_at is not None or not over:
            continue
        left = unposted(launch, policy) if task.told is None else None
        if left is not None:
            yield Accept(task=task.task, key=key, result=left)
            continue
        failure = late or classify(launch.row, launch.job)
        yield End(task=task.task, key=key, failure=failure, started_at=launch.started_at)


def _settles(judged: Judged, ending: Ending | None) -> Iterator[Action]:
    """Tell what is decided, then write it down; what is undecided is written down as it is."""
    task, found = judged.task, judged.verdict
    state = None if found is None else found.state
    if state is None and not judged.alive:
        state = TrialState.PRUNED if task.prune else ending.told if ending else None
    if task.told is None and state is not None and not task.reports:
        yield Tell(task=task.task, state=state, result=found.result if found else None)
        return
    running = any(launch.row.ended_at is None and not launch.held for launch in task.launches)
    seen = task.told or (TrialState.RUNNING if running else TrialState.WAITING)
    if task.recorded is not seen:
        yield Record(
            task=task.task,
            state=seen,
            failure=found.failure if found is not None and task.told is not None else None,
            result=found.result if found is not None and task.told is not None else None,
        )


def _reports(judged: Judged) -> Iterator[Report]:
    """Steps that the sampler hasn't seen; before Tell, after which it takes no more."""
    if judged.task.told is None and judged.task.reports:
        yield Report(task=judged.task.task, values=judged.task.reports)


def _cleans(judged: Judged) -> Iterator[Clean]:
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


def _asks(tasks: list[Judged], busy: list[Judged], policy: Policy) -> Iterator[Ask]:
    if not policy.ahead and any(judged.decided and judged.task.told is None for judged in busy):
        return  # first what the sampler is to learn from
    kept = sum(judged.task.told is not TrialState.CANCELLED for judged in tasks)
    held = sum(judged.holds_slot(policy) for judged in busy)
    idle = sum(judged.task.told is None and not judged.task.launches for judged in busy)
    ahead = 0 if _gathering(tasks, policy) else policy.ahead
    wanted = policy.parallel - held + ahead - idle
    for offset in range(max(0, min(wanted, policy.trials - kept))):
        yield Ask(task=str(len(tasks) + offset))
