"""Services: the long-running processes of one installation, and the files that name them.

A service is started detached, in a session of its own, with its output in a log file. Its file
``services/<name>.json`` says which process it is (pid and start time, as pids are used again)
and where it answers. Every process of a service carries the variable ``MODELYARD_SERVICE`` in
its environment, so that ending a service reaches its children too, whatever sessions they made
and whoever their parent is by now. A service that starts another gives it a mark of its own.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from modelyard.errors import InputError, ServerUnreachable
from modelyard.local import processes
from modelyard.local.ports import answers
from modelyard.settings import Paths

MARK = "MODELYARD_SERVICE"
"""Variable that every process of a service carries: ``<home>|<name>|<random>``."""


@dataclass(frozen=True, kw_only=True)
class Service:
    """One detached process and where it answers.

    Args:
        name: unique among the services of a home: ``server``, ``prefect``, ``model-digits`` …
        process: pid of the first process, which leads the session.
        started: its start time, seconds since 1970.
        address: base URL, empty where it has none (a worker).
        run: id of the ``modelyard run`` that started it, which may end it; None for ``up``.
        mark: value of ``MODELYARD_SERVICE`` in all its processes.
    """

    name: str
    process: int
    started: float
    address: str
    run: str | None = None
    mark: str = ""


def prepare_home(paths: Paths) -> None:
    """Make the home folder with those that services need.

    Raises:
        InputError: it can't be made or written; names it and ``MODELYARD_HOME``.
    """
    try:
        for folder in (paths.home, paths.services, paths.logs):
            folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=paths.services) as probe:
            probe.write(b"probe")
    except OSError as error:
        raise InputError(
            f"the home folder {paths.home} can't be written ({error.strerror}); free it, or "
            "name another folder in the environment variable MODELYARD_HOME"
        ) from error


@contextmanager
def lock(name: str, paths: Paths) -> Iterator[None]:
    """Hold a name against other processes, so that two of them don't both start it."""
    import fcntl

    prepare_home(paths)
    with open(paths.services / f"{name}.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def start(
    name: str,
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    address: str,
    run: str | None,
    paths: Paths,
) -> Service:
    """Start a service detached and write its file; an older file of this name is replaced.

    Args:
        name: of its file and its log.
        argv: absolute program and arguments.
        env: its whole environment, without the mark.
        address: where it will answer; nothing waits for it here (see ``wait_ready``).
        run: id of the ``modelyard run`` that it belongs to, None for one that stays.
        paths: of the home.

    Returns:
        The service as recorded.

    Raises:
        InputError: the home folder can't be written.
    """
    prepare_home(paths)
    mark = f"{paths.home}|{name}|{os.urandom(4).hex()}"
    process = _spawn(argv, {**env, MARK: mark}, paths.log(name))
    started = psutil.Process(process).create_time()
    service = Service(
        name=name, process=process, started=started, address=address, run=run, mark=mark
    )
    _write(service, paths)
    return service


def running(name: str, paths: Paths) -> Service | None:
    """The service of this name if its process lives, by pid and start time."""
    service = _read(paths.service(name))
    return service if service is not None and alive(service) else None


def keep(service: Service, paths: Paths) -> Service:
    """Let a service outlive the run that started it: from now on it belongs to none.

    Returns:
        The service as it is recorded now.
    """
    kept = replace(service, run=None)
    _write(kept, paths)
    return kept


def alive(service: Service) -> bool:
    """Whether a service's first process lives."""
    return processes.lives(service.process, service.started)


def recorded(paths: Paths) -> list[Service]:
    """Every service that has a readable file, whether it still lives or not, by name."""
    found = (_read(file) for file in sorted(paths.services.glob("*.json")))
    return [service for service in found if service is not None]


def wait_ready(url: str, seconds: float, *, service: Service | None = None) -> None:
    """Wait until a GET of ``url`` is answered with a status below 300.

    Args:
        url: where to ask, for instance ``http://127.0.0.1:4200/api/health``.
        seconds: how long to wait at most.
        service: given, its death ends the wait at once, and only its own answer counts: between
            the choice of a port and its binding another program may have taken it.

    Raises:
        ServerUnreachable: it died, or didn't answer in time; names the URL.
    """
    deadline = time.monotonic() + seconds
    while not (answers(url) and (service is None or listens(service, url))):
        if service is not None and not alive(service):
            raise ServerUnreachable(f"{service.name} ended before it answered at {url}")
        if time.monotonic() > deadline:
            raise ServerUnreachable(f"nothing answers at {url} after {seconds:g} s")
        time.sleep(0.05)


def listens(service: Service, url: str) -> bool:
    """Whether it is a process of this service that holds the port of ``url``."""
    port = urlsplit(url).port
    for process in _members(service):
        with suppress(psutil.Error):
            for connection in process.net_connections("tcp"):
                if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port:
                    return True
    return False


def stop(name: str, paths: Paths, *, grace_seconds: float = 1.0) -> bool:
    """End the service of this name with all its processes, and remove its file.

    Returns:
        Whether there was a living process to end.
    """
    service = _read(paths.service(name))
    return service is not None and bool(end([service], paths, grace_seconds=grace_seconds))


def stop_all(paths: Paths, run: str | None = None, *, grace_seconds: float = 1.0) -> list[Service]:
    """End every service of this home, or just those that one run started.

    Without ``run`` the processes that carry this home's mark end too although no file names
    them any more, so that nothing of the home is left.

    Returns:
        The services that were alive.
    """
    chosen = [s for s in recorded(paths) if run is None or s.run == run]
    ended = end(chosen, paths, grace_seconds=grace_seconds)
    if run is None:
        strays = processes.marked(MARK, f"{paths.home}|")
        processes.end(strays, strays, grace_seconds=grace_seconds)
    return ended


def end(services: Sequence[Service], paths: Paths, *, grace_seconds: float = 1.0) -> list[Service]:
    """End services given as values, all at once: SIGTERM first, SIGKILL after the grace.

    A file is removed only while it still names the ended process, so that the old version of
    a replaced service can be ended without losing the new one's.

    Returns:
        The services of which a process was alive.
    """
    living: list[Service] = []
    leaders: list[psutil.Process] = []
    members: list[psutil.Process] = []
    for service in services:
        tree = _members(service)
        if tree:
            living.append(service)
            members.extend(tree)
            leaders.extend([p for p in tree if p.pid == service.process] or tree)
    processes.end(leaders, members, grace_seconds=grace_seconds)
    for service in services:
        if _read(paths.service(service.name)) == service:
            paths.service(service.name).unlink(missing_ok=True)
    return living


def _spawn(argv: Sequence[str], env: Mapping[str, str], log: Path) -> int:
    """The pid of a new process in a session of its own; its output is added to the log."""
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        return os.posix_spawn(
            argv[0],
            list(argv),
            env,
            setsid=True,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, output, 1),
                (os.POSIX_SPAWN_DUP2, output, 2),
            ],
        )
    finally:
        os.close(output)


def _members(service: Service) -> list[psutil.Process]:
    """The processes of one service: whoever carries its mark, and their unmarked children."""
    leader = [psutil.Process(service.process)] if alive(service) else []
    return processes.with_children(
        [*leader, *(processes.marked(MARK, service.mark) if service.mark else [])],
        foreign=lambda process: processes.variable(process, MARK) not in ("", service.mark),
    )


def _write(service: Service, paths: Paths) -> None:
    file = paths.service(service.name)
    temporary = file.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_text(json.dumps(asdict(service)))
    os.replace(temporary, file)


def _read(file: Path) -> Service | None:
    try:
        return Service(**json.loads(file.read_text()))
    except (OSError, ValueError, TypeError):
        return None  # none, or damaged: its processes are found by their mark
