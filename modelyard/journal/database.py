"""The one place that knows which database holds the journal: engine, clock, errors.

SQLite runs in WAL with ``synchronous=NORMAL``: what is committed survives ``kill -9`` of any
process, since the pages are with the operating system; a power cut may take the last commits
but never tears the file. That is enough here, because everything the lost commits spoke of
(trial processes, their unsaved work) went with the same power cut, and the reconciler starts
again from what is left. Postgres keeps its own default, durable at commit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import RLock
from typing import Any

# Whole, before any thread of ours asks: Optuna and MLflow import the rest of SQLAlchemy in theirs,
# and a half imported ORM fails every comparison with an enumeration.
import sqlalchemy.orm  # noqa: F401
from sqlalchemy import Connection, Engine, TextClause, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DatabaseError, OperationalError

from modelyard.errors import ModelyardError

BUSY_SECONDS = 5.0
"""How long a write waits for another process's transaction before it is called locked."""

CLOCKS = {
    "sqlite": "(julianday('now') - 2440587.5) * 86400.0",
    "postgresql": "extract(epoch from clock_timestamp())::double precision",
}
"""Seconds since 1970 as an expression of each dialect."""

_CAUSES = (
    ("locked", "it is locked by another program; close that program and try again"),
    ("readonly", "it can't be written; check the permissions of its folder"),
    ("unable to open", "it can't be opened; check that its folder exists and can be written"),
    ("full", "the disk is full; free some space and start again: nothing stored is lost"),
    ("disk i/o error", "the disk refused to read or write it; check its space and health"),
    ("not a database", "it is not a database; move it away"),
    ("malformed", "it is damaged; restore it from a copy"),
    ("no such table", "it was never migrated; run `modelyard migrate`"),
)


class Database:
    """An engine with read and write transactions, safe to use from any thread.

    Args:
        url: SQLAlchemy URL, ``sqlite:////absolute/journal.db`` or ``postgresql+psycopg2://…``.
    """

    def __init__(self, url: str) -> None:
        self.url = make_url(url)
        self.engine = _engine(url)
        # Threads of one process take turns here: SQLite's own waiting polls in steps of
        # milliseconds, and a writer in the middle of a group commit would be met often.
        self._turn = RLock()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One consistent view; never waits for a writer.

        Raises:
            ModelyardError: the database can't be read; says why.
        """
        with self._translated(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction that holds the write lock from its start; committed at the end.

        Raises:
            ModelyardError: the database is locked, unwritable or full; nothing was written.
        """
        with (
            self._turn,
            self._translated(),
            self.engine.connect() as connection,
            connection.execution_options(writing=True).begin(),
        ):
            yield connection

    def now(self, connection: Connection) -> float:
        """Seconds since 1970 by the database's clock."""
        return float(connection.execute(_clock(connection.dialect.name)).scalar_one())

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except DatabaseError as error:
            raise ModelyardError(self._sentence(error)) from error

    def _sentence(self, error: DatabaseError) -> str:
        words = str(error.orig).lower()
        where = self.url.database or self.url.render_as_string(hide_password=True)
        for sign, cause in _CAUSES:
            if sign in words:
                return f"The journal {where} failed: {cause}."
        kind = "doesn't answer" if isinstance(error, OperationalError) else "refused a statement"
        return f"The journal {where} {kind}: {error.orig}."


@cache
def _clock(dialect: str) -> TextClause:
    return text(f"select {CLOCKS[dialect]}")


def _engine(url: str) -> Engine:
    if make_url(url).get_backend_name() != "sqlite":
        return create_engine(url, pool_pre_ping=True)
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS})
    event.listen(engine, "connect", _on_connect)
    event.listen(engine, "begin", _on_begin)
    return engine


def _on_connect(connection: Any, _record: Any) -> None:
    # The driver must not begin transactions by itself: it would do so late and deferred.
    connection.isolation_level = None
    connection.execute(f"pragma busy_timeout = {int(BUSY_SECONDS * 1000)}")
    connection.execute("pragma journal_mode = wal")
    connection.execute("pragma synchronous = normal")


def _on_begin(connection: Connection) -> None:
    # A deferred transaction that first reads and then writes fails at once when another
    # process wrote in between, whatever the timeout; an immediate one waits its turn.
    writing = connection.get_execution_options().get("writing")
    connection.exec_driver_sql("begin immediate" if writing else "begin")
