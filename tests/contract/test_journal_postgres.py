"""The journal on Postgres: the contract, and what only a server can do."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import create_engine, func, insert, select, text, update

from modelyard.errors import LeaseLost, ModelyardError
from modelyard.journal import postgres as postgres_module
from modelyard.journal.database import Database
from modelyard.journal.journal import Journal
from modelyard.journal.migrate import migrate
from modelyard.journal.tables import cursors
from tests.contract.journal_suite import JournalSuite
from tests.support.postgres import PASSWORD, Postgres, postgres

__all__ = ["postgres"]

pytestmark = pytest.mark.integration

DEADLINE_SECONDS = 120.0


@pytest.fixture
def url(postgres: Postgres) -> str:
    return postgres.database(like=postgres.migrated)


class TestPostgres(JournalSuite):
    """The suite over a database of its own each."""


def test_two_migrations_at_once(postgres: Postgres) -> None:
    """Whoever comes second waits, and finds nothing to do."""
    url = postgres.database()
    with ThreadPoolExecutor(4) as pool:
        revisions = list(pool.map(migrate, [url] * 4))
    assert len(set(revisions)) == 1


def test_two_servers_at_once_one_acts(url: str) -> None:
    """Of many that take a fresh lease at the same time exactly one gets it."""
    journals = [Journal.open(url, lease_seconds=60) for _ in range(4)]

    def take(journal: Journal) -> int | str:
        try:
            return journal.acquire("http://127.0.0.1:1")
        except ModelyardError as error:
            return str(error)

    with ThreadPoolExecutor(4) as pool:
        taken = list(pool.map(take, journals))
    assert [one for one in taken if isinstance(one, int)] == [1]
    for journal in journals:
        journal.close()


def test_a_write_that_began_under_an_old_epoch_never_lands(url: str) -> None:
    """While a write is under way nobody takes the lease; once it is taken, nothing lands."""
    old = Journal.open(url, lease_seconds=60)
    new = Journal.open(url, lease_seconds=1e-9)
    old.acquire("http://127.0.0.1:1")
    old.set_cursor("recorder", 1)
    with old._writing() as (connection, _), ThreadPoolExecutor(1) as pool:
        taking = pool.submit(new.acquire, "http://127.0.0.1:2")
        _until(lambda: _waits_for_a_lock(url))
        connection.execute(update(cursors).values(value=2))
        connection.commit()
        assert taking.result(DEADLINE_SECONDS) == 2
    with pytest.raises(LeaseLost):
        old.set_cursor("recorder", 3)
    assert new.get_cursor("recorder") == 2
    old.close()
    new.close()


def test_a_holder_that_slept_in_the_midst_of_a_write(url: str) -> None:
    """Its transaction is ended by the server, so that the next one gets the lease; what it had
    written is gone, and it finds out."""
    limit = "idle_in_transaction_session_timeout"
    old = Journal.open(url, lease_seconds=60)
    new = Journal.open(url, lease_seconds=1e-9)
    old.acquire("http://127.0.0.1:1")

    def sleep_through_it() -> None:
        with old._writing() as (connection, _):
            connection.execute(insert(cursors).values(reader="recorder", value=1))
            seconds = connection.exec_driver_sql(f"show {limit}").scalar_one()
            assert seconds == f"{postgres_module.STATEMENT_SECONDS:.0f}s"
            # From here on, and not before: whoever is only slow loses nothing.
            connection.exec_driver_sql(f"set local {limit} = '100ms'")
            assert new.acquire("http://127.0.0.1:2") == 2

    with pytest.raises(ModelyardError):
        sleep_through_it()
    with pytest.raises(LeaseLost):
        old.set_cursor("recorder", 1)
    assert new.get_cursor("recorder") == 0
    old.close()
    new.close()


@pytest.mark.parametrize("fault", ["restart", "cut"])
def test_lost_connections_are_made_anew(postgres: Postgres, url: str, fault: str) -> None:
    """After a crash of the server, or cut connections, the next call goes through and what was
    committed is there."""
    journal = Journal.open(url, lease_seconds=60)
    journal.acquire("http://127.0.0.1:1")
    journal.set_cursor("recorder", 7)
    postgres.restart() if fault == "restart" else postgres.cut()
    journal.renew()
    assert journal.get_cursor("recorder") == 7
    journal.close()


def test_a_connection_lost_in_the_midst_of_a_write_takes_it_back(
    postgres: Postgres, url: str
) -> None:
    """The write fails with a sentence and leaves nothing; the same again is stored."""
    journal = Journal.open(url, lease_seconds=60)
    journal.acquire("http://127.0.0.1:1")

    def torn() -> None:
        with journal._writing() as (connection, _):
            connection.execute(insert(cursors).values(reader="recorder", value=1))
            postgres.cut()
            connection.execute(update(cursors).values(value=2))

    with pytest.raises(ModelyardError, match="doesn't answer"):
        torn()
    assert journal.get_cursor("recorder") == 0
    journal.set_cursor("recorder", 1)
    journal.close()


def test_a_server_that_hangs_is_not_waited_for(
    postgres: Postgres, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Open connections and new ones give up after their time; once it goes on, so do we."""
    journal = Journal.open(url, lease_seconds=60)
    journal.acquire("http://127.0.0.1:1")
    with monkeypatch.context() as patch, postgres.hung():
        patch.setattr(postgres_module, "ANSWER_SECONDS", 0.3)
        patch.setattr(postgres_module, "CONNECT_SECONDS", 0.3)
        for call in (journal.renew, journal.renew, journal.now):
            with pytest.raises(ModelyardError, match=r"no answer within 0\.3 s"):
                call()
    journal.renew()
    journal.close()


def test_no_error_holds_the_password(postgres: Postgres, url: str) -> None:
    """Neither a refused password, nor an address that can't be read, nor a wrong host is told."""
    said: list[str] = [repr(Database(url).url), str(Database(url).engine)]
    unusable = (
        url.replace(PASSWORD, "not-that-one"),
        f"{PASSWORD}@x:y:z",
        url.replace("+psycopg2", "+asyncpg"),
        f"mysql{url}",
        url.replace(PASSWORD, f"{PASSWORD}@more"),
        url.replace(f":{postgres.port}/", ":1/"),
    )
    for bad in unusable:
        with pytest.raises(ModelyardError) as caught:
            Journal.open(bad, lease_seconds=60).now()
        error: BaseException | None = caught.value
        while error is not None:
            said += [str(error), repr(error)]
            error = error.__cause__
    assert not [text for text in said if PASSWORD in text or "not-that-one" in text]


def test_a_journal_that_was_never_migrated_is_said(postgres: Postgres) -> None:
    """The sentence names the command that migrates."""
    journal = Journal.open(postgres.database(), lease_seconds=60)
    with pytest.raises(ModelyardError, match="modelyard migrate"):
        journal.sweeps()
    journal.close()


def test_several_reads_see_one_moment(url: str) -> None:
    """What is committed between two statements of one reading isn't seen by it."""
    journal = Journal.open(url, lease_seconds=60)
    journal.acquire("http://127.0.0.1:1")
    query = select(func.count()).select_from(cursors)
    with journal._database.reading() as connection:
        before = connection.scalar(query)
        journal.set_cursor("recorder", 1)
        assert connection.scalar(query) == before
    with journal._database.reading() as connection:
        assert connection.scalar(query) == 1
    journal.close()


def _waits_for_a_lock(url: str) -> bool:
    engine = create_engine(url)
    with engine.connect() as connection:
        query = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
        found = connection.execute(text(query)).scalar_one()
    engine.dispose()
    return bool(found)


def _until(condition: Callable[[], object]) -> None:
    deadline, nap = time.monotonic() + DEADLINE_SECONDS, threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        nap.wait(0.02)
