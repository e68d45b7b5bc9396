"""Events: stored once each, refused from launches that have no say any more.

Ids grow in the order of commits because one process writes them, one transaction at a time; with
several writers a cursor would skip rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, func, insert, select

from modelyard.contract import (
    BODY,
    Batch,
    Checkpoint,
    Event,
    Failure,
    LaunchKey,
    Phase,
    TrialResult,
)
from modelyard.errors import Fenced
from modelyard.journal import launches, tables, trials
from modelyard.journal.rows import EventRow
from modelyard.journal.tables import events

# Statements of every post, made once: making one costs more than SQLite takes to run it. On
# Postgres each is a round trip, so that a group of posts shares them.

_INSERT = insert(events)

_LAUNCHES = select(
    tables.launches.c.sweep,
    tables.launches.c.task,
    tables.launches.c.number,
    tables.launches.c.started_at,
    tables.launches.c.ended_at,
    tables.launches.c.checkpoint,
    tables.launches.c.result.is_not(None).label("has_result"),
    select(func.coalesce(func.max(events.c.sequence), 0))
    .where(
        events.c.sweep == tables.launches.c.sweep,
        events.c.task == tables.launches.c.task,
        events.c.launch == tables.launches.c.number,
    )
    .scalar_subquery()
    .label("highest"),
).where(
    tables.launches.c.sweep.in_(bindparam("sweeps", expanding=True)),
    tables.launches.c.task.in_(bindparam("tasks", expanding=True)),
)
"""Launches of tasks, each with the highest sequence number that is stored of it."""

_STATES = select(tables.trials.c.sweep, tables.trials.c.number, tables.trials.c.state).where(
    tables.trials.c.sweep.in_(bindparam("sweeps", expanding=True)),
    tables.trials.c.number.in_(bindparam("numbers", expanding=True)),
)

Posted = tuple[LaunchKey, Batch]


def append(connection: Connection, now: float, posts: Sequence[Posted]) -> list[int | Fenced]:
    """Store many launches' batches, with few statements however many they are.

    Returns:
        For each batch the highest sequence number of its launch that is stored for good; or why
        the launch has no say any more: it is unknown or old, its task has ended, or another
        launch of it has brought the result. Nothing of such a batch is stored.
    """
    answers: dict[int, int | Fenced] = {}
    left = list(range(len(posts)))
    while left:
        # What one batch brings may decide about the next of its task: they go one by one.
        first: dict[tuple[str, str], int] = {}
        for index in left:
            first.setdefault(_task(posts[index][0]), index)
        together = list(first.values())
        stored = _append(connection, now, [posts[index] for index in together])
        answers.update(zip(together, stored, strict=True))
        left = [index for index in left if index not in answers]
    return [answers[index] for index in range(len(posts))]


def _append(connection: Connection, now: float, posts: Sequence[Posted]) -> list[int | Fenced]:
    """The same for batches of different tasks."""
    tasks = _tasks(connection, [key for key, _ in posts])
    rows: list[dict[str, Any]] = []
    changes: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    answers: list[int | Fenced] = []
    for key, batch in posts:
        try:
            launch = _admitted(tasks[_task(key)], key)
        except Fenced as refusal:
            answers.append(refusal)
            continue
        stored = _stored(connection, key, launch.highest, batch)
        fresh = [event for event in batch.events if event.sequence not in stored]
        answers.append(max((int(launch.highest), *(event.sequence for event in fresh))))
        if fresh:
            here = {"sweep": key.sweep, "task": key.task, "launch": key.number, "received_at": now}
            rows += [
                here | {"sequence": event.sequence, "body": event.body.model_dump_json()}
                for event in fresh
            ]
            told = _told(launch, fresh, now)
            changes.setdefault(tuple(told), []).append(launches.named(key) | told)
    if rows:
        connection.execute(_INSERT, rows)
    for names, values in changes.items():
        connection.execute(launches.changing(names), values)
    return answers


@dataclass(frozen=True, kw_only=True)
class _Known:
    """A task's launches by number (see ``_LAUNCHES``), and its trial's state, None for a stage."""

    launches: dict[int, Row[Any]] = field(default_factory=dict)
    state: str | None = None


def _tasks(connection: Connection, keys: Sequence[LaunchKey]) -> dict[tuple[str, str], _Known]:
    sweeps = list({key.sweep for key in keys})
    numbers = [int(key.task) for key in keys if key.task.isdigit()]
    states = {}
    if numbers:
        found = connection.execute(_STATES, {"sweeps": sweeps, "numbers": numbers})
        states = {(row.sweep, str(row.number)): row.state for row in found}
    tasks = {_task(key): _Known(state=states.get(_task(key))) for key in keys}
    names = list({key.task for key in keys})
    for row in connection.execute(_LAUNCHES, {"sweeps": sweeps, "tasks": names}):
        if (row.sweep, row.task) in tasks:
            tasks[row.sweep, row.task].launches[row.number] = row
    return tasks


def _task(key: LaunchKey) -> tuple[str, str]:
    return key.sweep, key.task


def after(
    connection: Connection,
    cursor: int,
    *,
    sweep: str | None = None,
    task: str | None = None,
    limit: int | None = None,
) -> list[EventRow]:
    """Events behind a cursor, oldest first."""
    values = {"cursor": cursor, "of": sweep, "named": task, "most": limit}
    query = _after(sweep is not None, task is not None, limit is not None)
    return [_row(row) for row in connection.execute(query, values)]


@cache
def _after(of_sweep: bool, of_task: bool, limited: bool) -> Select[Any]:
    query = select(events).where(events.c.id > bindparam("cursor"))
    if of_sweep:
        query = query.where(events.c.sweep == bindparam("of"))
    if of_task:
        query = query.where(events.c.task == bindparam("named"))
    query = query.order_by(events.c.id)
    return query.limit(bindparam("most")) if limited else query


def newest(connection: Connection) -> int:
    """Id of the newest event, 0 when there is none."""
    return connection.scalar(select(func.max(events.c.id))) or 0


def _admitted(task: _Known, key: LaunchKey) -> Row[Any]:
    """The launch, if it may still speak; see ``_LAUNCHES`` for its columns."""
    launch = task.launches.get(key.number)
    if launch is None:
        raise Fenced(f"Launch {key} is unknown here.")
    if launch.has_result:
        return launch  # a repeated post of what was accepted, or its last lines
    if any(row.has_result for row in task.launches.values()):
        raise Fenced(f"Launch {key} is too late: another launch brought the result.")
    if key.number < max(task.launches):
        raise Fenced(f"Launch {key} is old: launch {max(task.launches)} of this task exists.")
    if launch.ended_at is not None or task.state not in (None, *trials.OPEN):
        raise Fenced(f"Launch {key} has ended; its task is {task.state or 'over'}.")
    return launch


def _stored(connection: Connection, key: LaunchKey, highest: int, batch: Batch) -> set[int]:
    """Which sequence numbers of a batch are stored; none are asked for above the highest."""
    sequences = [event.sequence for event in batch.events if event.sequence <= highest]
    if not sequences:
        return set()
    query = select(events.c.sequence).where(
        events.c.sweep == key.sweep,
        events.c.task == key.task,
        events.c.launch == key.number,
        events.c.sequence.in_(sequences),
    )
    return set(connection.scalars(query))


def _told(launch: Row[Any], fresh: list[Event], now: float) -> dict[str, Any]:
    """What the launch's row learns from its events; receipt is what counts as a beat."""
    values: dict[str, Any] = {"beat_at": now}
    if launch.started_at is None:
        values["started_at"] = now
    for event in fresh:
        match event.body:
            case Phase() as phase:
                values |= {"phase": phase.name, "phase_steps": phase.steps}
            case Checkpoint() as checkpoint:
                newest_epoch = max(launch.checkpoint or 0, values.get("checkpoint", 0))
                values["checkpoint"] = max(newest_epoch, checkpoint.epoch)
            case Failure() as failure:
                values["said"] = failure.model_dump_json()
            case TrialResult() as result if not launch.has_result:
                values.setdefault("result", result.model_dump_json())
    return values


def _row(row: Row[Any]) -> EventRow:
    return EventRow(
        id=row.id,
        key=LaunchKey(sweep=row.sweep, task=row.task, number=row.launch),
        sequence=row.sequence,
        received_at=row.received_at,
        body=BODY.validate_json(row.body),
    )
