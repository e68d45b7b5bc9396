"""The port of a model server."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator

import pytest

from modelyard.errors import InputError
from modelyard.serve.sockets import bind, listeners, steer_here
from tests.support.ports import reserved_port

HOST = "127.0.0.1"


@pytest.fixture
def held() -> Iterator[socket.socket]:
    """A socket as a model server holds it before its model is loaded: bound, not listening."""
    with bind(HOST, reserved_port()) as bound:
        yield bound


def port_of(bound: socket.socket) -> int:
    return int(bound.getsockname()[1])


def test_a_port_that_is_bound_but_not_listening_is_taken(held: socket.socket) -> None:
    """A server that still loads its model is not joined by another one."""
    with pytest.raises(InputError, match=f"port {port_of(held)} on 127.0.0.1 is held"):
        bind(HOST, port_of(held))


def test_a_listening_port_is_taken_and_its_holder_named(held: socket.socket) -> None:
    """The sentence says who and what to do."""
    held.listen()
    with pytest.raises(InputError, match=rf"\(pid {os.getpid()}\).*deploy\.port"):
        bind(HOST, port_of(held))
    assert list(listeners(port_of(held))) == [os.getpid()]


def test_only_the_named_process_is_taken_over(held: socket.socket) -> None:
    """The version to be replaced may hold the port, another process may not."""
    held.listen()
    with pytest.raises(InputError, match="is held by"):
        bind(HOST, port_of(held), take_over=[os.getpid() + 1])
    with bind(HOST, port_of(held), take_over=[os.getpid()]) as second:
        assert port_of(second) == port_of(held)


@pytest.mark.skipif(sys.platform != "linux", reason="steering is Linux' own")
def test_the_newest_listener_gets_all_new_connections(held: socket.socket) -> None:
    """After steering nothing new reaches the older one, so that it can close without loss; when
    it has closed, the port is still served."""
    held.listen()
    port = port_of(held)
    with bind(HOST, port, take_over=[os.getpid()]) as newest:
        newest.listen()
        steer_here(newest, others=1)
        held.setblocking(False)
        for _ in range(20):
            socket.create_connection((HOST, port)).close()
            newest.accept()[0].close()
        with pytest.raises(BlockingIOError):
            held.accept()
        held.close()
        socket.create_connection((HOST, port)).close()
        newest.accept()[0].close()


def test_a_port_in_time_wait_is_free() -> None:
    """A server can be started again at once on the port where a stranger's connections ended."""
    port = reserved_port()
    with (
        socket.create_server((HOST, port)) as server,
        socket.create_connection((HOST, port)) as client,
    ):
        accepted, _ = server.accept()
        accepted.close()  # the side that closes first is left in TIME_WAIT
        assert client.recv(1) == b""
    with bind(HOST, port) as bound:
        assert port_of(bound) == port


def test_an_address_that_is_not_ours_is_refused() -> None:
    """The message names the address."""
    with pytest.raises(InputError, match=r"on 192\.0\.2\.1 can't be bound"):
        bind("192.0.2.1", reserved_port())
