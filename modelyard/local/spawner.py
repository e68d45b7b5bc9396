"""Where standby processes come from: forked on Linux, a fresh interpreter elsewhere.

On macOS a forked child may not use the system's frameworks; there each standby imports
everything itself, ahead of its launch.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Protocol

from modelyard.local import standby
from modelyard.trial.program import leave


@dataclass(frozen=True, kw_only=True)
class Standby:
    """A process that waits for its launch.

    Args:
        process: pid; also its session and process group.
        control: our end of its line.
    """

    process: int
    control: socket.socket


class Spawner(Protocol):
    """Makes standby processes. They are children of the calling process, which reaps them."""

    def spawn(self) -> Standby:
        """Start one; returns at once."""


class ForkSpawner:
    """Forks the calling process, which must have one thread.

    Args:
        life: file descriptor that closes when our server ends.
    """

    def __init__(self, life: int) -> None:
        self._life = life

    def spawn(self) -> Standby:
        """See ``Spawner``."""
        parent = os.getpid()
        ours, theirs = socket.socketpair()
        process = os.fork()
        if process == 0:
            self._child(theirs, parent)
        theirs.close()
        return Standby(process=process, control=ours)

    def _child(self, control: socket.socket, parent: int) -> NoReturn:
        """Never returns: the fork server's own code must not run twice."""
        code = 1
        try:
            _close_all_but(control.fileno(), self._life)
            code = standby.serve(control, self._life, parent)
        except BaseException:
            traceback.print_exc()
        finally:
            leave(code)


class ExecSpawner:
    """Starts a fresh interpreter.

    Args:
        life: file descriptor that closes when our server ends.
    """

    def __init__(self, life: int) -> None:
        self._life = life

    def spawn(self) -> Standby:
        """See ``Spawner``."""
        ours, theirs = socket.socketpair()
        fds = (theirs.fileno(), self._life)
        program = [sys.executable, "-P", "-m", "modelyard.local.standby"]
        try:
            for fd in fds:
                os.set_inheritable(fd, True)
            process = os.posix_spawn(
                sys.executable, [*program, *map(str, fds), str(os.getpid())], os.environ
            )
        finally:
            for fd in fds:
                os.set_inheritable(fd, False)
            theirs.close()
        return Standby(process=process, control=ours)


def spawner_for(platform: str, life: int) -> Spawner:
    """The way of this platform.

    Args:
        platform: as ``sys.platform``.
        life: file descriptor that closes when our server ends.
    """
    return ForkSpawner(life) if platform == "linux" else ExecSpawner(life)


def _close_all_but(*kept: int) -> None:
    """Close what the fork server has open: a copy of a sibling's line would keep it alive."""
    for name in [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]:
        if name > 2 and name not in kept:
            with contextlib.suppress(OSError):
                os.close(name)
