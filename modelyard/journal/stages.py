"""Rows of stages. Each function works within the caller's transaction."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from modelyard.api import FailureView, StageState
from modelyard.journal.rows import StageRow
from modelyard.journal.tables import stages

_FRESH = {"state": StageState.RUNNING, "ended_at": None, "outcome": "{}", "failure": None}


def begin(connection: Connection, now: float, sweep: str, stage: str) -> StageRow:
    """Start a stage, or return it as it was recorded."""
    found = get(connection, sweep, stage)
    if found is not None:
        return found
    connection.execute(insert(stages).values(sweep=sweep, stage=stage, started_at=now, **_FRESH))
    return StageRow(sweep=sweep, stage=stage, state=StageState.RUNNING, started_at=now)


def restart(connection: Connection, now: float, sweep: str, stage: str) -> StageRow:
    """Start a failed stage again; any other is returned as it is."""
    found = get(connection, sweep, stage)
    if found is None:
        return begin(connection, now, sweep, stage)
    if found.state is not StageState.FAILED:
        return found
    connection.execute(
        update(stages)
        .where(stages.c.sweep == sweep, stages.c.stage == stage)
        .values(started_at=now, **_FRESH)
    )
    return StageRow(sweep=sweep, stage=stage, state=StageState.RUNNING, started_at=now)


def end(connection: Connection, now: float, row: StageRow) -> None:
    """Write a stage's end; one that has ended keeps its first outcome."""
    connection.execute(
        update(stages)
        .where(
            stages.c.sweep == row.sweep,
            stages.c.stage == row.stage,
            stages.c.state == StageState.RUNNING,
        )
        .values(
            state=row.state,
            ended_at=now,
            outcome=json.dumps(row.outcome),
            failure=None if row.failure is None else row.failure.model_dump_json(),
        )
    )


def get(connection: Connection, sweep: str, stage: str) -> StageRow | None:
    """One stage of a sweep."""
    row = connection.execute(
        select(stages).where(stages.c.sweep == sweep, stages.c.stage == stage)
    ).one_or_none()
    return None if row is None else _row(row)


def of_sweep(connection: Connection, sweep: str) -> list[StageRow]:
    """All stages of a sweep, in the order they began."""
    rows = connection.execute(
        select(stages).where(stages.c.sweep == sweep).order_by(stages.c.started_at)
    )
    return [_row(row) for row in rows]


def _row(row: Row[Any]) -> StageRow:
    return StageRow(
        sweep=row.sweep,
        stage=row.stage,
        state=StageState(row.state),
        started_at=row.started_at,
        ended_at=row.ended_at,
        outcome=json.loads(row.outcome),
        failure=None if row.failure is None else FailureView.model_validate_json(row.failure),
    )
