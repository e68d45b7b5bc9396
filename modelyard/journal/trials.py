"""Rows of trials. Each function works within the caller's transaction."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from modelyard.api import FailureView, TrialState
from modelyard.journal.rows import TrialRow
from modelyard.journal.tables import trials

OPEN = (TrialState.WAITING, TrialState.RUNNING)
"""States that a trial leaves."""


def put(connection: Connection, row: TrialRow) -> None:
    """Write a trial; what the recorder owns (``run``, ``recorded``) is left as it is.

    A trial that has ended keeps its first end.
    """
    values = {
        "state": row.state,
        "parameters": json.dumps(row.parameters),
        "objectives": json.dumps(row.values),
        "metrics": json.dumps(row.metrics),
        "step": row.step,
        "model": row.model,
        "health": json.dumps(row.health),
        "total": row.total,
        "numbers": row.numbers,
        "failure": None if row.failure is None else row.failure.model_dump_json(),
    }
    here = (trials.c.sweep == row.sweep, trials.c.number == row.number)
    state = connection.scalar(select(trials.c.state).where(*here))
    if state is None:
        connection.execute(
            insert(trials).values(
                sweep=row.sweep, number=row.number, run=row.run, recorded=row.recorded, **values
            )
        )
    elif TrialState(state) in OPEN:
        connection.execute(update(trials).where(*here).values(**values))


def of_sweep(connection: Connection, sweep: str) -> list[TrialRow]:
    """All trials of a sweep by number."""
    rows = connection.execute(
        select(trials).where(trials.c.sweep == sweep).order_by(trials.c.number)
    )
    return [_row(row) for row in rows]


def one(connection: Connection, sweep: str, number: int) -> TrialRow | None:
    """A trial by its number."""
    here = (trials.c.sweep == sweep, trials.c.number == number)
    row = connection.execute(select(trials).where(*here)).one_or_none()
    return None if row is None else _row(row)


def unrecorded(connection: Connection) -> list[TrialRow]:
    """Trials of all sweeps that ended and aren't in the tracker yet."""
    rows = connection.execute(
        select(trials)
        .where(trials.c.recorded.is_(False), trials.c.state.not_in(OPEN))
        .order_by(trials.c.sweep, trials.c.number)
    )
    return [_row(row) for row in rows]


def mark(connection: Connection, sweep: str, number: int, **values: object) -> None:
    """Set what the recorder owns: ``run`` or ``recorded``."""
    connection.execute(
        update(trials).where(trials.c.sweep == sweep, trials.c.number == number).values(**values)
    )


def _row(row: Row[Any]) -> TrialRow:
    return TrialRow(
        sweep=row.sweep,
        number=row.number,
        state=TrialState(row.state),
        parameters=json.loads(row.parameters),
        values=tuple(json.loads(row.objectives)),
        metrics=json.loads(row.metrics),
        step=row.step,
        model=row.model,
        health=json.loads(row.health),
        total=row.total,
        numbers=row.numbers,
        failure=None if row.failure is None else FailureView.model_validate_json(row.failure),
        run=row.run,
        recorded=row.recorded,
    )
