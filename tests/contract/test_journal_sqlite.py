"""The journal on SQLite: the contract, and what only a file can do."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from math import inf
from pathlib import Path

import pytest

from modelyard.errors import ModelyardError
from modelyard.journal import database
from modelyard.journal.journal import Journal
from modelyard.journal.migrate import migrate
from tests.contract.journal_suite import JournalSuite, batch, key, metrics, spec

WRITER = """
import sys
from modelyard.journal.journal import Journal
journal = Journal.open(sys.argv[1], lease_seconds=60)
journal.acquire("http://127.0.0.1:9")
journal.set_cursor("recorder", 1)
print("written", flush=True)
value = 1
while True:
    value += 1
    journal.set_cursor("recorder", value)
"""

CLOCK_SECONDS = 0.01
"""SQLite's clock tells milliseconds."""


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/journal.db"


class TestSqlite(JournalSuite):
    """The suite over a file in a temporary folder."""

    def test_news_say_when_a_post_was_last_refused(
        self, journal: Journal, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """By the database's clock, also once posts are taken again."""
        monkeypatch.setattr(database, "BUSY_SECONDS", 0.0)
        journal.commit_launches([spec(key())])
        never = journal.news("aaaaaaaa", 0).refused_at
        begun = journal.now()
        with closing(
            sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
        ) as other:
            other.execute("begin immediate")
            with pytest.raises(ModelyardError, match="locked by another program"):
                journal.append([(key(), batch(metrics(1)))])
        journal.append([(key(), batch(metrics(1)))])
        news = journal.news("aaaaaaaa", 0)

        assert never == -inf
        assert begun - CLOCK_SECONDS < news.refused_at <= news.now


def test_a_killed_writer_loses_nothing_and_its_lease_is_free(url: str) -> None:
    """After kill -9 amid writes the file is whole, and the next server acquires at once."""
    migrate(url)
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, url], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "written\n"
        os.kill(writer.pid, signal.SIGKILL)
    journal = Journal.open(url, lease_seconds=3600)
    assert journal.acquire("http://127.0.0.1:2") == 2
    assert journal.get_cursor("recorder") >= 1
    journal.close()


def test_a_locked_database_is_said(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Held by another program, a write says so, and works once that lets go."""
    migrate(url)
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.05)
    journal = Journal.open(url, lease_seconds=60)
    journal.acquire("http://127.0.0.1:1")
    other = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("begin immediate")
    with pytest.raises(ModelyardError, match="locked by another program"):
        journal.renew()
    other.execute("rollback")
    other.close()
    journal.renew()
    journal.close()


def test_who_waited_behind_a_refused_writer_does_not_wait_anew(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waited for the same: it is told the cause at once, and the next who comes writes."""
    migrate(url)
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.0)
    journal = Journal.open(url, lease_seconds=60)
    journal.acquire("http://127.0.0.1:1")
    file = Path(url.removeprefix("sqlite:///"))

    def locked() -> None:
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("begin immediate")
            with pytest.raises(ModelyardError, match="locked by another program"):
                journal.renew()

    monkeypatch.setattr(journal._database, "_turn", Behind(locked))

    with pytest.raises(ModelyardError, match="locked by another program"):
        journal.renew()

    journal.renew()
    journal.close()


def test_who_waited_behind_a_bad_statement_writes(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of one statement is no reason to refuse another."""
    migrate(url)
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.0)
    journal = Journal.open(url, lease_seconds=60)
    journal.acquire("http://127.0.0.1:1")

    def wrong() -> None:
        with (
            pytest.raises(ModelyardError, match="refused a statement"),
            journal._database.writing() as connection,
        ):
            connection.exec_driver_sql("insert into cursors values ('a', 1), ('a', 2)")

    monkeypatch.setattr(journal._database, "_turn", Behind(wrong))

    journal.set_cursor("recorder", 7)

    assert journal.get_cursor("recorder") == 7
    journal.close()


class Behind:
    """A turn that comes once somebody else has failed to write."""

    def __init__(self, other: Callable[[], None]) -> None:
        self._other: Callable[[], None] | None = other

    def acquire(self, timeout: float) -> bool:
        other, self._other = self._other, None
        if other is not None:
            other()
        return timeout > 0

    def release(self) -> None:
        """Nobody else is there."""


def test_a_full_disk_is_said_and_nothing_stored_is_lost(url: str) -> None:
    """A file that may not grow refuses the write with a sentence, and keeps what it has."""
    migrate(url)
    journal = Journal.open(url, lease_seconds=60)
    journal.acquire("http://127.0.0.1:1")
    journal.set_cursor("recorder", 7)
    with journal._database.engine.connect() as connection:
        connection.exec_driver_sql("pragma max_page_count = 1")
    with pytest.raises(ModelyardError, match="disk is full"):
        journal.set_cursor("x" * 1_000_000, 1)
    assert journal.get_cursor("recorder") == 7
    journal.close()


def test_a_file_that_is_no_database_is_said(tmp_path: Path, url: str) -> None:
    """Something else under the journal's name is named, not overwritten."""
    (tmp_path / "journal.db").write_text("not a database, " * 100)
    with pytest.raises(ModelyardError, match="is not a database"):
        migrate(url)
    assert (tmp_path / "journal.db").read_text().startswith("not a database")


def test_a_journal_that_was_never_migrated_is_said(url: str) -> None:
    """The sentence names the command that migrates."""
    journal = Journal.open(url, lease_seconds=60)
    with pytest.raises(ModelyardError, match="modelyard migrate"):
        journal.sweeps()
    journal.close()


def test_a_missing_folder_is_said() -> None:
    """A file that can't be opened is named."""
    journal = Journal.open("sqlite:////nonexistent/journal.db", lease_seconds=60)
    with pytest.raises(ModelyardError, match=r"/nonexistent/journal\.db"):
        journal.now()
    journal.close()
