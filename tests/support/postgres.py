"""A Postgres of the test's own: a cluster in a temporary folder, ended with the module."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import cached_property
from itertools import count
from pathlib import Path

import psutil
import psycopg2
import pytest

from modelyard.journal.migrate import migrate
from tests.support.ports import reserved_port

PASSWORD = "only-the-tests-know"
"""Of the database's user; no log and no error may hold it."""

USER = "modelyard"

_NUMBERS = count(1)


class Postgres:
    """One running server, with a password, that can be hurt.

    Args:
        programs: folder of ``initdb`` and ``pg_ctl``.
        folder: of the cluster; whoever runs the server must be allowed to write it.
    """

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs = programs
        self._folder = folder
        self.port = reserved_port()

    def start(self) -> None:
        """Make the cluster and start it; answers when this returns."""
        secret = self._folder / "password"
        secret.write_text(PASSWORD)
        data = str(self._folder / "data")
        options = ["--auth=scram-sha-256", f"--pwfile={secret}", f"--username={USER}"]
        self._run("initdb", "-D", data, *options, "--no-sync", "--encoding=UTF8", "--locale=C")
        self._control("start")

    def restart(self) -> None:
        """As after a crash: connections are cut, nothing is flushed, the log is replayed."""
        self._control("restart", "-m", "immediate")

    def stop(self) -> None:
        """End it at once."""
        self._control("stop", "-m", "immediate")

    def again(self) -> None:
        """Start it after ``stop``."""
        self._control("start")

    @contextmanager
    def hung(self) -> Iterator[None]:
        """Every process of the server stands still, though its sockets stay open."""
        pid = int((self._folder / "data" / "postmaster.pid").read_text().splitlines()[0])
        main = psutil.Process(pid)
        # The first first: it would start others for those that seem to have died.
        everyone = [main, *main.children(recursive=True)]
        for process in everyone:
            _signal(process, signal.SIGSTOP)
        try:
            yield
        finally:
            for process in everyone:
                _signal(process, signal.SIGCONT)

    def cut(self) -> int:
        """End every connection but this one; returns how many there were."""
        with self._connected("postgres") as cursor:
            cursor.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity "
                "where pid <> pg_backend_pid() and backend_type = 'client backend'"
            )
            return int(cursor.rowcount)

    def database(self, *, like: str = "template1") -> str:
        """URL of a fresh database.

        Args:
            like: name of the one that it is a copy of; nobody may be connected to that.
        """
        name = f"test_{next(_NUMBERS)}"
        with self._connected("postgres") as cursor:
            cursor.execute(f"create database {name} template {like}")
        return self.url(name)

    @cached_property
    def migrated(self) -> str:
        """Name of a database with an empty journal."""
        url = self.database()
        migrate(url)
        return url.rpartition("/")[2]

    def url(self, database: str) -> str:
        """SQLAlchemy URL of a database, with the password."""
        return f"postgresql+psycopg2://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    @contextmanager
    def _connected(self, database: str) -> Iterator[psycopg2.extensions.cursor]:
        connection = psycopg2.connect(
            host="127.0.0.1", port=self.port, user=USER, password=PASSWORD, dbname=database
        )
        with closing(connection):
            connection.autocommit = True
            with connection.cursor() as cursor:
                yield cursor

    def _control(self, *words: str) -> None:
        options = f"-p {self.port} -k {self._folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        files = ["-D", str(self._folder / "data"), "-l", str(self._folder / "log")]
        # It gives up after a minute else, in which a busy machine may not get there.
        wait = ("-w", "-t", "290")
        self._run("pg_ctl", *words, *wait, *files, "-o", options)

    def _run(self, program: str, *arguments: str) -> None:
        # Postgres refuses to run as root.
        who = unprivileged()
        done = subprocess.run(
            [str(self._programs / program), *arguments],
            user=who,
            group=None if who is None else pwd.getpwnam(who).pw_gid,
            extra_groups=None if who is None else [],
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # a pipe would be held open by the server
            stderr=subprocess.DEVNULL,
            timeout=300,
            check=False,
        )
        log = self._folder / "log"
        assert done.returncode == 0, log.read_text() if log.exists() else f"{program} failed"


def unprivileged() -> str | None:
    """Who runs the server; None for the tests' own user, where that isn't root."""
    if os.geteuid() != 0:
        return None
    users = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in users else "nobody"


def programs() -> Path | None:
    """Folder of the newest Postgres of this machine, None without one."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=_version)
    if installed:
        return installed[-1].parent
    found = shutil.which("initdb")
    return None if found is None else Path(found).resolve().parent


def _version(program: Path) -> float:
    return float(program.parts[-3])


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    """A server for the tests of one module."""
    found = programs()
    if found is None:
        pytest.skip("Postgres is not installed: no initdb in /usr/lib/postgresql or on PATH")
    # Not under pytest's folder, which nobody but its owner may enter.
    folder = Path(tempfile.mkdtemp(prefix="modelyard-postgres-"))
    who = unprivileged()
    if who is not None:
        shutil.chown(folder, who)
    server = Postgres(found, folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    with suppress(psutil.NoSuchProcess):  # a connection's own, which was about to end
        process.send_signal(number)
