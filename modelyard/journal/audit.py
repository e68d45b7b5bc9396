"""The audit trail: rows that are only ever added."""

from __future__ import annotations

from sqlalchemy import Connection, insert

from modelyard.journal.tables import audit


def add(
    connection: Connection, *, at: float, actor: str, action: str, subject: str, detail: str
) -> None:
    """Add one row, in the transaction of the change that it speaks of."""
    connection.execute(
        insert(audit).values(at=at, actor=actor, action=action, subject=subject, detail=detail)
    )
