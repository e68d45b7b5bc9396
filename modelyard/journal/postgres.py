"""How we speak to Postgres: direct connections, each of whose waits has an end.

A server that hangs answers TCP as before, and libpq would wait for it for ever; no time-out of the
server itself helps then. So this process waits by a function of its own.
"""

from __future__ import annotations

import select
from time import monotonic
from typing import Any

import psycopg2
from psycopg2 import extensions
from sqlalchemy import Connection, make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError

from modelyard.errors import InputError

SCHEMA = "modelyard_journal"
"""Holds the journal's tables. Optuna keeps its own in the same database, under names that ours
have too (``trials``, ``alembic_version``)."""

SHARED_SCHEMA = "public"
"""Where others keep theirs. It has to be said: a server looks into a schema named like the user
first."""

STATEMENT_SECONDS = 10.0
"""Longest that the server works on one statement, or a transaction of ours stands idle in it."""

LOCK_SECONDS = 8.0
"""Longest wait for somebody else's lock; shorter than a statement, so that the error says so."""

ANSWER_SECONDS = 15.0
"""Longest that this process waits for an answer: more than a statement may take."""

CONNECT_SECONDS = 5.0

DRIVERS = ("sqlite", "postgresql", "postgresql+psycopg2")

POOL_SECONDS = 10.0
"""Longest wait for one of the pool's connections."""

_MIGRATING = 5_437_501_907
"""Key of the advisory lock under which tables are made; any number that nobody else has."""


def parsed(url: str) -> URL:
    """A database's address; shown anywhere, its password is hidden.

    Raises:
        InputError: it is none, or its password has to be quoted. Says nothing of what it holds.
    """
    wanted = "postgresql+psycopg2://user:password@host:5432/name"
    try:
        found = make_url(url)
    except ArgumentError as error:
        raise InputError(f"the database's address is not a URL like {wanted}") from error
    if found.drivername not in DRIVERS:
        raise InputError(f"a database {found.drivername}:// can't be used; give {wanted}")
    if "@" in (found.host or ""):
        raise InputError("the database's password holds an @; write it as %40")
    return found


def name_of(url: URL) -> str:
    """How a database is called in messages: never with its password."""
    return str(url.database) if url.host is None else f"{url.database} on {url.host}"


def within(url: URL, schema: str) -> URL:
    """A Postgres's address with the schema in which tables are looked for and made."""
    given = url.query.get("options", "")
    options = f"{given if isinstance(given, str) else ' '.join(given)} -c search_path={schema}"
    return url.update_query_dict({"options": options.strip()})


def engine_arguments(url: URL, *, connections: int) -> dict[str, Any]:
    """Arguments of ``create_engine`` for a Postgres.

    Args:
        url: see ``within``.
        connections: kept open; twice as many more are opened for a while.
    """
    extensions.set_wait_callback(_wait)
    limits = " ".join(f"-c {name}={value}" for name, value in _limits().items())
    return {
        "pool_pre_ping": True,
        "pool_size": connections,
        "max_overflow": 2 * connections,
        "pool_timeout": POOL_SECONDS,
        "hide_parameters": True,  # errors are logged
        "executemany_mode": "values_plus_batch",  # many rows in one round trip
        "use_native_hstore": False,  # it would ask for it at each connect
        "connect_args": {
            "application_name": "modelyard",
            "options": f"{url.query.get('options', '')} {limits}".strip(),
            "keepalives": 1,
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": int(ANSWER_SECONDS * 1000),
        },
    }


def alone(connection: Connection) -> None:
    """Wait, within a transaction, for others who make or change tables; until it ends they wait."""
    if connection.dialect.name == "postgresql":
        # Whoever holds it may work on other connections for a while.
        connection.execute(text("set local idle_in_transaction_session_timeout = 0"))
        connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": _MIGRATING})


def _limits() -> dict[str, str]:
    return {
        "statement_timeout": f"{STATEMENT_SECONDS:.0f}s",
        "lock_timeout": f"{LOCK_SECONDS:.0f}s",
        # A server of ours that stopped in the middle of a write must not keep the next from
        # taking the lease.
        "idle_in_transaction_session_timeout": f"{STATEMENT_SECONDS:.0f}s",
    }


def _wait(connection: Any) -> None:
    """Wait until the driver has its answer; the connection is closed when it has none in time."""
    open_already = connection.status in (extensions.STATUS_READY, extensions.STATUS_BEGIN)
    seconds = ANSWER_SECONDS if open_already else CONNECT_SECONDS
    deadline = monotonic() + seconds
    while (state := connection.poll()) != extensions.POLL_OK:
        poller = select.poll()
        poller.register(
            connection.fileno(),
            select.POLLIN if state == extensions.POLL_READ else select.POLLOUT,
        )
        # Only silence counts: what came while this process stood still is read all the same.
        if not poller.poll(max(0.0, deadline - monotonic()) * 1000):
            raise psycopg2.OperationalError(f"no answer within {seconds:g} s")
