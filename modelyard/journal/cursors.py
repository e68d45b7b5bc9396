"""Where readers of the events had come to, kept over restarts."""

from __future__ import annotations

from sqlalchemy import Connection, delete, insert, select

from modelyard.journal.tables import cursors


def get(connection: Connection, reader: str) -> int:
    """Id of the last event that a reader took in; 0 for a new one."""
    return connection.scalar(select(cursors.c.value).where(cursors.c.reader == reader)) or 0


def keep(connection: Connection, reader: str, value: int) -> None:
    """Keep where a reader has come to."""
    connection.execute(delete(cursors).where(cursors.c.reader == reader))
    connection.execute(insert(cursors).values(reader=reader, value=value))
