"""Events: stored once each, refused from launches that have no say any more.

Ids grow in the order of commits because one process writes them, one transaction at a time; with
several writers a cursor would skip rows.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, func, insert, select

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
from modelyard.journal import launches, trials
from modelyard.journal.rows import EventRow, LaunchRow
from modelyard.journal.tables import events


def append(connection: Connection, now: float, key: LaunchKey, batch: Batch) -> int:
    """Store one launch's batch.

    Returns:
        The highest sequence number that is stored for good.

    Raises:
        Fenced: the launch is unknown or old, its task has ended, or another launch of it has
            brought the result. Nothing of the batch is stored.
    """
    launch = _admitted(connection, key)
    highest, stored = _stored(connection, key, [event.sequence for event in batch.events])
    fresh = [event for event in batch.events if event.sequence not in stored]
    if fresh:
        connection.execute(
            insert(events),
            [
                {
                    "sweep": key.sweep,
                    "task": key.task,
                    "launch": key.number,
                    "sequence": event.sequence,
                    "received_at": now,
                    "body": event.body.model_dump_json(),
                }
                for event in fresh
            ],
        )
        launches.change(connection, key, **_told(launch, fresh, now))
    return max((highest, *(event.sequence for event in fresh)))


def after(
    connection: Connection,
    cursor: int,
    *,
    sweep: str | None = None,
    task: str | None = None,
    limit: int | None = None,
) -> list[EventRow]:
    """Events behind a cursor, oldest first."""
    query = select(events).where(events.c.id > cursor)
    if sweep is not None:
        query = query.where(events.c.sweep == sweep)
    if task is not None:
        query = query.where(events.c.task == task)
    return [_row(row) for row in connection.execute(query.order_by(events.c.id).limit(limit))]


def newest(connection: Connection) -> int:
    """Id of the newest event, 0 when there is none."""
    return connection.scalar(select(func.max(events.c.id))) or 0


def _admitted(connection: Connection, key: LaunchKey) -> LaunchRow:
    """The launch, if it may still speak."""
    known = {row.key.number: row for row in launches.of_sweep(connection, key.sweep, key.task)}
    launch = known.get(key.number)
    if launch is None:
        raise Fenced(f"Launch {key} is unknown here.")
    if launch.result is not None:
        return launch  # a repeated post of what was accepted, or its last lines
    if any(row.result is not None for row in known.values()):
        raise Fenced(f"Launch {key} is too late: another launch brought the result.")
    if key.number < max(known):
        raise Fenced(f"Launch {key} is old: launch {max(known)} of this task exists.")
    state = trials.state_of(connection, key.sweep, key.task)
    if launch.ended_at is not None or state not in (None, *trials.OPEN):
        raise Fenced(f"Launch {key} has ended; its task is {state or 'over'}.")
    return launch


def _stored(connection: Connection, key: LaunchKey, sequences: list[int]) -> tuple[int, set[int]]:
    """The launch's highest stored sequence number, and which of these are stored."""
    column = events.c.sequence
    here = (
        events.c.sweep == key.sweep,
        events.c.task == key.task,
        events.c.launch == key.number,
    )
    highest = connection.scalar(select(func.max(column)).where(*here)) or 0
    if not sequences or min(sequences) > highest:
        return highest, set()
    return highest, set(connection.scalars(select(column).where(*here, column.in_(sequences))))


def _told(launch: LaunchRow, fresh: list[Event], now: float) -> dict[str, Any]:
    """What the launch's row learns from its events; receipt is what counts as a beat."""
    values: dict[str, Any] = {"beat_at": now}
    for event in fresh:
        match event.body:
            case Phase() as phase:
                values |= {"phase": phase.name, "phase_steps": phase.steps}
            case Checkpoint() as checkpoint:
                newest_epoch = max(launch.checkpoint or 0, values.get("checkpoint", 0))
                values["checkpoint"] = max(newest_epoch, checkpoint.epoch)
            case Failure() as failure:
                values["said"] = failure.model_dump_json()
            case TrialResult() as result if launch.result is None:
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
