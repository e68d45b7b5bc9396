"""Events: stored once each, refused from launches that have no say any more.

Ids grow in the order of commits because one process writes them, one transaction at a time; with
several writers a cursor would skip rows.
"""

from __future__ import annotations

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

# Statements of every post, made once: making one costs more than SQLite takes to run it.

_INSERT = insert(events)

_LAUNCHES = select(
    tables.launches.c.number,
    tables.launches.c.started_at,
    tables.launches.c.ended_at,
    tables.launches.c.checkpoint,
    tables.launches.c.result.is_not(None).label("has_result"),
    select(tables.trials.c.state)
    .where(tables.trials.c.sweep == bindparam("of"), tables.trials.c.number == bindparam("trial"))
    .scalar_subquery()
    .label("state"),
    select(func.coalesce(func.max(events.c.sequence), 0))
    .where(
        events.c.sweep == bindparam("of"),
        events.c.task == bindparam("named"),
        events.c.launch == bindparam("numbered"),
    )
    .scalar_subquery()
    .label("highest"),
).where(tables.launches.c.sweep == bindparam("of"), tables.launches.c.task == bindparam("named"))
"""Launches of one task, with the state of its trial (null for a stage) and the highest sequence
number that is stored of the one that posts."""


def append(connection: Connection, now: float, key: LaunchKey, batch: Batch) -> int:
    """Store one launch's batch.

    Returns:
        The highest sequence number that is stored for good.

    Raises:
        Fenced: the launch is unknown or old, its task has ended, or another launch of it has
            brought the result. Nothing of the batch is stored.
    """
    launch = _admitted(connection, key)
    stored = _stored(connection, key, launch.highest, batch)
    fresh = [event for event in batch.events if event.sequence not in stored]
    if fresh:
        here = {"sweep": key.sweep, "task": key.task, "launch": key.number, "received_at": now}
        connection.execute(
            _INSERT,
            [
                here | {"sequence": event.sequence, "body": event.body.model_dump_json()}
                for event in fresh
            ],
        )
        launches.change(connection, key, **_told(launch, fresh, now))
    return max((int(launch.highest), *(event.sequence for event in fresh)))


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


def _admitted(connection: Connection, key: LaunchKey) -> Row[Any]:
    """The launch, if it may still speak; see ``_LAUNCHES`` for its columns."""
    rows = connection.execute(
        _LAUNCHES,
        {
            "of": key.sweep,
            "named": key.task,
            "numbered": key.number,
            "trial": int(key.task) if key.task.isdigit() else None,
        },
    )
    known = {row.number: row for row in rows}
    launch = known.get(key.number)
    if launch is None:
        raise Fenced(f"Launch {key} is unknown here.")
    if launch.has_result:
        return launch  # a repeated post of what was accepted, or its last lines
    if any(row.has_result for row in known.values()):
        raise Fenced(f"Launch {key} is too late: another launch brought the result.")
    if key.number < max(known):
        raise Fenced(f"Launch {key} is old: launch {max(known)} of this task exists.")
    if launch.ended_at is not None or launch.state not in (None, *trials.OPEN):
        raise Fenced(f"Launch {key} has ended; its task is {launch.state or 'over'}.")
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
