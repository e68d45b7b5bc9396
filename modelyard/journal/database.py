"""The one place that knows which database holds the journal: engine, clock, errors.

SQLite runs in WAL with ``synchronous=NORMAL``: what is committed survives ``kill -9`` of any
process, since the pages are with the operating system; a power cut may take the last commits
but never tears the file. That is enough here, because everything the lost commits spoke of
(trial processes, their unsaved work) went with the same power cut, and the reconciler starts
again from what is left. Postgres keeps its own default, durable at commit; there the journal's
tables lie in a schema of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from math import inf
from threading import RLock
from time import monotonic
from typing import Any

# Whole, before any thread of ours asks: Optuna and MLflow import the rest of SQLAlchemy in theirs,
# and a half imported ORM fails every comparison with an enumeration.
import sqlalchemy.orm  # noqa: F401
from sqlalchemy import Connection, Engine, TextClause, create_engine, event, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from modelyard.errors import ModelyardError, first_line
from modelyard.journal import postgres

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
    ("undefinedtable", "it was never migrated; run `modelyard migrate`"),
    ("no space left", "its server's disk is full; free some space: nothing stored is lost"),
)

CONNECTIONS = 10
"""Kept open to a Postgres: as many as threads of a server speak to it at once."""

TURN_SECONDS = 30.0
"""Longest wait for this process's other writers, while the database doesn't answer them."""


class Database:
    """An engine with read and write transactions, safe to use from any thread.

    Args:
        url: SQLAlchemy URL, ``sqlite:////absolute/journal.db`` or ``postgresql+psycopg2://…``.

    Raises:
        InputError: the URL can't be used.
    """

    def __init__(self, url: str) -> None:
        self.url = postgres.parsed(url)
        self.engine = _engine(self.url)
        self._views = self.engine
        if self.engine.dialect.name == "postgresql":
            # Several statements of one reading see the same rows, as they do on SQLite.
            self._views = self.engine.execution_options(isolation_level="REPEATABLE READ")
        # Threads of one process take turns here. SQLite's own waiting polls in steps of
        # milliseconds, and a writer in the middle of a group commit would be met often; on
        # Postgres two that write what they have just read would not see each other.
        self._turn = RLock()
        # Why the database last took no write, until it takes one again; and when that was.
        self._refusal: str | None = None
        self._refused_at = -inf

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One consistent view; never waits for a writer.

        Raises:
            ModelyardError: the database can't be read; says why.
        """
        with self._translated(), self._views.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction, the only one of this process; committed at the end.

        On SQLite it holds the write lock from its start. On Postgres other processes are kept
        out by the lease, whose row each transaction of the journal locks first.

        Raises:
            ModelyardError: the database is away, locked, unwritable or full. Nothing was
                written, unless the connection was lost in the midst of the commit.
        """
        with (
            self._my_turn(),
            self._translated(),
            self.engine.connect() as connection,
            connection.execution_options(writing=True).begin(),
        ):
            yield connection

    def now(self, connection: Connection) -> float:
        """Seconds since 1970 by the database's clock."""
        return float(connection.execute(_clock(connection.dialect.name)).scalar_one())

    @property
    def refused_seconds(self) -> float:
        """How long ago it last took no write, as while it is locked; infinite: it never did."""
        return monotonic() - self._refused_at

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    @contextmanager
    def _my_turn(self) -> Iterator[None]:
        asked_at = monotonic()
        if not self._turn.acquire(timeout=TURN_SECONDS):
            raise ModelyardError(f"The journal {self.name} doesn't answer those who write it.")
        try:
            # What one of them was told holds for who has waited as long as it has: were each to
            # wait anew, the last of many would be heard of after minutes.
            waited = monotonic() - asked_at >= BUSY_SECONDS and self._refused_at >= asked_at
            if waited and self._refusal is not None:
                raise ModelyardError(self._refusal)
            yield
            self._refusal = None
        except ModelyardError as error:
            # Any other fault is of one statement, and concerns nobody else.
            if isinstance(error.__cause__, OperationalError):
                self._refusal, self._refused_at = str(error), monotonic()
            raise
        finally:
            self._turn.release()

    @property
    def name(self) -> str:
        """How the database is called in messages: never with its password."""
        return postgres.name_of(self.url)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except PoolTimeout as error:
            raise ModelyardError(f"The journal {self.name} has no connection left.") from error
        except DBAPIError as error:
            raise ModelyardError(self._sentence(error)) from error

    def _sentence(self, error: DBAPIError) -> str:
        words = f"{type(error.orig).__name__} {error.orig}".lower()
        for sign, cause in _CAUSES:
            if sign in words:
                return f"The journal {self.name} failed: {cause}."
        refused = isinstance(error, IntegrityError | ProgrammingError)
        kind = "refused a statement" if refused else "doesn't answer"
        said = first_line(error.orig).removesuffix(".")
        return f"The journal {self.name} {kind}: {said}."


@cache
def _clock(dialect: str) -> TextClause:
    return text(f"select {CLOCKS[dialect]}")


def _engine(url: URL) -> Engine:
    if url.get_backend_name() != "sqlite":
        ours = postgres.within(url, postgres.SCHEMA)
        return create_engine(ours, **postgres.engine_arguments(ours, connections=CONNECTIONS))
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
