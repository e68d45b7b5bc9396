"""A standby process: everything imported, waiting to be told which launch it is.

It holds two ends that tell it when to die: its own line to the fork server, and the life line
of our server, of which only our server has the other end. Whichever is killed, with whatever
signal, the line closes and the standby ends with its whole session.
"""

from __future__ import annotations

import faulthandler
import io
import os
import selectors
import signal
import socket
import sys
import threading
from collections.abc import Generator
from typing import TextIO

from modelyard.contract import Document
from modelyard.local.fate import die_with
from modelyard.local.preload import load_first, steps
from modelyard.local.protocol import ORDER, Expect, Launch, Order
from modelyard.trial import program


def serve(control: socket.socket, life: int, parent: int) -> int:
    """Wait for a launch and carry it out; call it first thing in the new process.

    Args:
        control: line to the fork server: ``Expect`` any number of times, then one ``Launch``.
        life: file descriptor that closes when our server ends.
        parent: pid of the fork server.

    Returns:
        The program's exit code.
    """
    if os.getpid() != os.getsid(0):
        os.setsid()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    # A second belt: the guard needs the interpreter, which a hung C call may hold.
    die_with(parent)
    rehearsed: Document | None = None
    orders = _orders(control, life)
    while isinstance(order := next(orders), Expect):
        from modelyard.trial.rehearsal import rehearse  # by now it is imported

        rehearsed = rehearse(order.environment) or rehearsed
    orders.close()
    assert isinstance(order, Launch)
    threading.Thread(target=_guard, args=(control, life), name="guard", daemon=True).start()
    _enter(order)
    return program.main(os.environ, rehearsed)


def _orders(control: socket.socket, life: int) -> Generator[Order, None, None]:
    """What is said on the line, one by one; the process ends when either line closes."""
    with selectors.DefaultSelector() as selector:
        selector.register(control, selectors.EVENT_READ)
        selector.register(life, selectors.EVENT_READ)
        rest = b""
        while True:
            ready = [key.fileobj for key, _ in selector.select()]
            chunk = b"" if life in ready else control.recv(65536)
            if not chunk:
                os._exit(0)
            *lines, rest = (rest + chunk).split(b"\n")
            yield from map(ORDER.validate_json, lines)


def _guard(control: socket.socket, life: int) -> None:
    """End the session once a line closes. Nothing is ever written to either."""
    with selectors.DefaultSelector() as selector:
        selector.register(control, selectors.EVENT_READ)
        selector.register(life, selectors.EVENT_READ)
        selector.select()
    os.killpg(0, signal.SIGKILL)


def _enter(request: Launch) -> None:
    """Put on the launch's environment: variables, folder, output."""
    os.environ.update(request.environment)
    os.chdir(request.scratch)
    log = os.open(request.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    sys.stdout, sys.stderr = _output(1), _output(2)
    faulthandler.enable()


def _output(fd: int) -> TextIO:
    """A stream by lines: what a killed launch printed last is in its log."""
    binary = io.FileIO(fd, "w", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(binary), encoding="utf-8", errors="replace", line_buffering=True
    )


def main(argv: list[str]) -> int:
    """Where nothing is forked: import everything, then wait for the launch.

    Args:
        argv: file descriptors of control and life line, pid of the fork server.
    """
    load_first()
    for step in steps():
        step()
    return serve(socket.socket(fileno=int(argv[1])), int(argv[2]), parent=int(argv[3]))


if __name__ == "__main__":
    program.leave(main(sys.argv))
