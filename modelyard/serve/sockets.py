"""The port: taken at once and alone, or together with the version that is to be replaced."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import socket
import struct
import sys
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from modelyard.errors import InputError

_ATTACH_REUSEPORT_CBPF = 51
_BPF_RETURN = 0x06
"""From Linux' ``asm-generic/socket.h`` and ``linux/bpf_common.h``; Python names neither."""


def bind(host: str, port: int, *, take_over: Collection[int] = ()) -> socket.socket:
    """A bound socket that doesn't listen yet, so that nobody is sent here before it is ready.

    Every model server sets SO_REUSEPORT, so that the next version can bind the same port while
    this one serves. A stranger's server may set it too, and the kernel would then share out
    requests between both models; hence the port must be free, or held by the named processes.

    Args:
        host: address to bind.
        port: number, not 0.
        take_over: pids that may hold the port.

    Raises:
        InputError: somebody else holds the port, or it may not be bound; names who, if known.
    """
    with _one_at_a_time():
        if not _free(host, port):
            holders = listeners(port)
            if not holders or not set(holders) <= set(take_over):
                raise InputError(taken(host, port, holders))
        return _shared(host, port)


def steer_here(listening: socket.socket, *, others: int) -> None:
    """Send every new connection of the shared port here; elsewhere than on Linux do nothing.

    When a listener closes, the kernel resets what it has not accepted yet. Steered away first,
    the version that is to end has nothing left to lose. A classic BPF program of one instruction
    names the socket's place among those of the port; once the others are gone the place is out
    of range, and the kernel shares out by hash again (socket(7), SO_ATTACH_REUSEPORT_CBPF).

    Args:
        listening: the newest listener of its port.
        others: how many listened there before it.
    """
    if sys.platform != "linux":
        return
    instruction = ctypes.create_string_buffer(struct.pack("HBBI", _BPF_RETURN, 0, 0, others))
    program = struct.pack("HP", 1, ctypes.addressof(instruction))
    with suppress(OSError):  # without it the port is shared by hash, which works too
        listening.setsockopt(socket.SOL_SOCKET, _ATTACH_REUSEPORT_CBPF, program)


def listeners(port: int) -> dict[int, str]:
    """Processes that listen on a port, as far as this user may see: pid to name."""
    found: dict[int, str] = {}
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.Error:
        return found
    for connection in connections:
        address = connection.laddr
        if connection.status == psutil.CONN_LISTEN and address and address.port == port:
            if connection.pid is None:
                return {}
            found[connection.pid] = _name(connection.pid)
    return found


def taken(host: str, port: int, holders: dict[int, str]) -> str:
    """The sentence that says who holds a port and what to do."""
    who = ", ".join(f"{name} (pid {pid})" for pid, name in holders.items())
    held = f"held by {who}" if who else "held by a process of another user"
    return f"port {port} on {host} is {held}; end it, or name another port (deploy.port)"


def _free(host: str, port: int) -> bool:
    """Whether nobody holds the port; one in TIME_WAIT is free."""
    with _socket(host) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return _bound(probe, host, port)


def _shared(host: str, port: int) -> socket.socket:
    """A socket with SO_REUSEPORT.

    Two sockets with SO_REUSEADDR may hold one port as long as none listens, which would let
    another server's look at the port pass; so it is set only where TIME_WAIT asks for it.
    """
    for again in (False, True):
        made = _socket(host)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(again))
        try:
            if _bound(made, host, port):
                return made
        except InputError:
            made.close()
            raise
        made.close()
    raise InputError(taken(host, port, listeners(port)))


def _bound(made: socket.socket, host: str, port: int) -> bool:
    """Bind; False when the port is held."""
    try:
        made.bind((host, port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return False
        raise InputError(f"port {port} on {host} can't be bound: {error.strerror}") from error
    return True


def _socket(host: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named asyncio turns Nagle off; else an answer may wait 40 ms for an ACK.
    return socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Keep this user's other model servers from binding between look and bind."""
    folder = Path(tempfile.gettempdir())
    with open(folder / f"modelyard-ports-{os.getuid()}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _name(pid: int) -> str:
    try:
        return psutil.Process(pid).name()
    except psutil.Error:
        return "a process"
