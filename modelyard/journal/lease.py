"""The lease: one row that says which process may write, and under which epoch.

A row with a clock is used instead of a lock because a lost lock is silent: poolers drop advisory
locks, forked children keep file locks. A holder that slept finds out at its next write, since
each write asks for the epoch in its own transaction.
"""

from __future__ import annotations

import os
import secrets
import socket
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import psutil
from sqlalchemy import Connection, Float, Row, Select, insert, literal_column, select, update

from modelyard.errors import LeaseLost, ModelyardError
from modelyard.journal.database import CLOCKS, Database
from modelyard.journal.tables import lease

_SAME_START_SECONDS = 2.0
"""Two readings of one process's start time may differ by clock steps, never by this much."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """Who wants to write. ``holder`` is random, so that two journals of one process differ."""

    holder: str = field(default_factory=lambda: secrets.token_hex(8))
    host: str = field(default_factory=socket.gethostname)
    process: int = field(default_factory=os.getpid)
    started: float = field(default_factory=lambda: float(psutil.Process().create_time()))


def acquire(
    database: Database, connection: Connection, claim: Claim, address: str, lease_seconds: float
) -> int:
    """Take the lease when it is free and raise the epoch.

    Free is: never taken, released, not renewed for ``lease_seconds``, held by a process of this
    host that is gone, or held by this claim already.

    Args:
        address: URL under which this server is reached, for those who are refused.

    Returns:
        The new epoch.

    Raises:
        ModelyardError: another server holds it.
    """
    now = database.now(connection)
    row = connection.execute(select(lease).with_for_update()).one_or_none()
    values = {
        "holder": claim.holder,
        "address": address,
        "host": claim.host,
        "process": claim.process,
        "started": claim.started,
        "renewed_at": now,
        "released": False,
    }
    if row is None:
        connection.execute(insert(lease).values(id=1, epoch=1, **values))
        return 1
    if row.holder != claim.holder and not _free(row, claim, now, lease_seconds):
        raise ModelyardError(
            f"Another Modelyard server (process {row.process} on {row.host}, {row.address}) holds "
            f"the journal; use that one, or stop it with `modelyard down`."
        )
    epoch = int(row.epoch) + 1
    connection.execute(update(lease).values(epoch=epoch, **values))
    return epoch


def require(connection: Connection, claim: Claim, epoch: int | None) -> float:
    """Make sure, within a write transaction, that the claim still holds its epoch.

    Returns:
        Seconds since 1970 by the database's clock, asked for in the same statement.

    Raises:
        LeaseLost: it doesn't; the caller's transaction must not go on.
    """
    row = connection.execute(_held(connection.dialect.name)).one_or_none()
    if row is None or row.released or row.holder != claim.holder or row.epoch != epoch:
        holder = f"process {row.process} on {row.host}" if row is not None else "nobody"
        raise LeaseLost(f"The journal's lease is held by {holder}; this server must end.")
    return float(row.now)


@cache
def _held(dialect: str) -> Select[Any]:
    # Made once, for it is part of every write. FOR SHARE on Postgres: nobody raises the epoch
    # before this transaction has ended. SQLite needs none, its write transactions exclude each
    # other.
    now = literal_column(CLOCKS[dialect], Float).label("now")
    return select(lease, now).with_for_update(read=True)


def renew(database: Database, connection: Connection) -> None:
    """Say that the holder lives, by the database's clock. Call after ``require``."""
    connection.execute(update(lease).values(renewed_at=database.now(connection)))


def release(connection: Connection) -> None:
    """Let the next server take it at once. Call after ``require``."""
    connection.execute(update(lease).values(released=True))


def _free(row: Row[tuple[object, ...]], claim: Claim, now: float, lease_seconds: float) -> bool:
    if row.released or now - row.renewed_at >= lease_seconds:
        return True
    return row.host == claim.host and not _alive(row.process, row.started)


def _alive(process: int, started: float) -> bool:
    try:
        found = psutil.Process(process)
        if found.status() == psutil.STATUS_ZOMBIE:
            return False
        return abs(found.create_time() - started) < _SAME_START_SECONDS
    except psutil.NoSuchProcess:
        return False
