"""Rows of launches. Each function works within the caller's transaction."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Update,
    bindparam,
    func,
    insert,
    select,
    update,
)

from modelyard.api import FailureView
from modelyard.contract import Failure, LaunchKey, Stop, TrialResult, TrialSpec
from modelyard.errors import ModelyardError
from modelyard.journal.rows import LaunchRow
from modelyard.journal.tables import launches


def commit(connection: Connection, now: float, spec: TrialSpec) -> LaunchRow:
    """Write a launch before it is started; the same spec again returns the same row.

    Raises:
        ModelyardError: the key exists with another spec.
    """
    found = get(connection, spec.key)
    if found is None:
        connection.execute(
            insert(launches).values(
                sweep=spec.key.sweep,
                task=spec.key.task,
                number=spec.key.number,
                spec=spec.model_dump_json(),
                created_at=now,
                phase_steps=False,
            )
        )
        return LaunchRow(key=spec.key, spec=spec, created_at=now)
    if found.spec != spec:
        raise ModelyardError(f"Launch {spec.key} was committed with another spec; this is a bug.")
    return found


def get(connection: Connection, key: LaunchKey) -> LaunchRow | None:
    """One launch."""
    row = connection.execute(select(launches).where(*_is(key))).one_or_none()
    return None if row is None else _row(row)


def of_sweep(
    connection: Connection, sweep: str, task: str | None, *, only_open: bool = False
) -> list[LaunchRow]:
    """Launches of a sweep (of one task of it, or those that haven't ended), oldest first."""
    query = select(launches).where(launches.c.sweep == sweep)
    if task is not None:
        query = query.where(launches.c.task == task)
    if only_open:
        query = query.where(launches.c.ended_at.is_(None))
    rows = connection.execute(query.order_by(launches.c.created_at, launches.c.number))
    return [_row(row) for row in rows]


def stop(connection: Connection, now: float, key: LaunchKey, reason: Stop) -> None:
    """Write why a launch is to end; the first reason stays."""
    connection.execute(
        update(launches)
        .where(*_is(key), launches.c.stop.is_(None), launches.c.ended_at.is_(None))
        .values(stop=reason, stop_at=now)
    )


def end(
    connection: Connection,
    now: float,
    key: LaunchKey,
    failure: FailureView | None,
    started_at: float | None,
) -> None:
    """Write a launch's end; the first stays. From here on its events are refused."""
    connection.execute(
        update(launches)
        .where(*_is(key), launches.c.ended_at.is_(None))
        .values(
            ended_at=now,
            failure=None if failure is None else failure.model_dump_json(),
            started_at=func.coalesce(launches.c.started_at, started_at),
        )
    )


@cache
def changing(names: tuple[str, ...]) -> Update:
    """Writes what events told of launches: columns by these names, of those that ``named`` names.

    Made once for each set of columns: most posts change the beat alone.
    """
    return (
        update(launches)
        .where(
            launches.c.sweep == bindparam("of"),
            launches.c.task == bindparam("of_task"),
            launches.c.number == bindparam("numbered"),
        )
        .values({name: bindparam(name) for name in names})
    )


def named(key: LaunchKey) -> dict[str, Any]:
    """Which launch ``changing`` is to change."""
    return {"of": key.sweep, "of_task": key.task, "numbered": key.number}


def _is(key: LaunchKey) -> tuple[ColumnElement[bool], ...]:
    return (
        launches.c.sweep == key.sweep,
        launches.c.task == key.task,
        launches.c.number == key.number,
    )


@lru_cache(maxsize=1024)
def _spec(text: str) -> TrialSpec:
    # Specs never change and are read at every look of a controller.
    return TrialSpec.model_validate_json(text)


def _row(row: Row[Any]) -> LaunchRow:
    return LaunchRow(
        key=LaunchKey(sweep=row.sweep, task=row.task, number=row.number),
        spec=_spec(row.spec),
        created_at=row.created_at,
        stop=None if row.stop is None else Stop(row.stop),
        stop_at=row.stop_at,
        result=None if row.result is None else TrialResult.model_validate_json(row.result),
        said=None if row.said is None else Failure.model_validate_json(row.said),
        started_at=row.started_at,
        ended_at=row.ended_at,
        failure=None if row.failure is None else FailureView.model_validate_json(row.failure),
        beat_at=row.beat_at,
        phase=row.phase,
        phase_steps=row.phase_steps,
        checkpoint=row.checkpoint,
    )
