"""Processes of this machine: whether one lives, which belong together, how they end."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable

import psutil

START_TOLERANCE_SECONDS = 2.0
"""Two readings of one process' start time differ by less than this, though the clock is set in
between; no pid is used again so soon."""

KILLED_SECONDS = 30.0
"""Longest wait for the kernel to take a killed process away: giving back much memory takes a busy
machine seconds. One in a device's grip stays."""


def lives(pid: int, started: float) -> bool:
    """Whether the process with this pid and start time lives; a zombie doesn't."""
    try:
        process = psutil.Process(pid)
        same = abs(process.create_time() - started) < START_TOLERANCE_SECONDS
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def variable(process: psutil.Process, name: str) -> str:
    """A variable of another process' environment; empty when unset or unreadable."""
    try:
        return process.environ().get(name, "")
    except (psutil.Error, OSError):
        return ""


def marked(name: str, prefix: str) -> list[psutil.Process]:
    """Processes in whose environment ``name`` begins with ``prefix``; never this one."""
    own = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    return [
        process
        for process in psutil.process_iter()
        if process.pid not in own and variable(process, name).startswith(prefix)
    ]


def with_children(
    roots: Iterable[psutil.Process], *, foreign: Callable[[psutil.Process], bool]
) -> list[psutil.Process]:
    """The given processes and all below them, except foreign ones and what is below those."""
    found: dict[int, psutil.Process] = {}
    waiting = list(roots)
    while waiting:
        process = waiting.pop()
        if process.pid in found or process.pid == os.getpid():
            continue
        found[process.pid] = process
        with contextlib.suppress(psutil.Error):
            waiting.extend(child for child in process.children() if not foreign(child))
    return list(found.values())


def end(
    leaders: Iterable[psutil.Process], members: Iterable[psutil.Process], *, grace_seconds: float
) -> None:
    """SIGTERM to the leaders, SIGKILL to every member that lives after the grace.

    Children hear of the end from their leader, who knows in which order they go. Returns when
    all are gone.
    """
    for process in leaders:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    left = _wait(list(members), grace_seconds)
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.kill()
    _wait(left, KILLED_SECONDS)


def _wait(members: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Those that still live after at most ``seconds``."""
    deadline = time.monotonic() + seconds
    while True:
        late = time.monotonic() >= deadline  # asked first: this process may have stood still
        members = [process for process in members if not _gone(process)]
        if late or not members:
            return members
        time.sleep(0.01)


def _gone(process: psutil.Process) -> bool:
    """Whether it ended; our own children are reaped, those of others may stay as zombies."""
    with contextlib.suppress(OSError):
        os.waitpid(process.pid, os.WNOHANG)
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.Error:
        return True
