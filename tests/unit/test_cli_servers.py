"""The servers of a home are started, whoever else takes ports just now."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from modelyard.cli.programs import Program
from modelyard.cli.servers import attach
from modelyard.errors import ModelyardError
from modelyard.local import services
from modelyard.settings import Paths, Settings
from tests.support.ports import reserved_port


class Unready(http.server.BaseHTTPRequestHandler):
    """A server that is just coming up."""

    def do_GET(self) -> None:
        self.send_error(503)

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""


@contextmanager
def stranger(port: int) -> Iterator[None]:
    """Somebody else's server on a port."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", port), Unready) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        try:
            yield
        finally:
            server.shutdown()


@pytest.fixture
def paths() -> Iterator[Paths]:
    """The home of the test."""
    found = Settings().paths
    yield found
    services.stop_all(found, grace_seconds=0)


def program(port: int, *arguments: str) -> Program:
    """A server of files."""
    return Program(
        name="files",
        title="file server",
        module="http.server",
        arguments=("{port}", "--bind", "127.0.0.1", *arguments),
        port=port,
        health="/",
    )


def test_a_port_that_somebody_takes_meanwhile_costs_another_start(paths: Paths) -> None:
    """Although whoever was quicker doesn't answer yet: two homes may come up at once."""
    said: list[str] = []
    with ExitStack() as strangers:

        def say(sentence: str) -> None:
            if not said:
                strangers.enter_context(stranger(port))
            said.append(sentence)

        port = reserved_port()
        attached = attach(program(port), Settings(), None, say)

    assert attached.service.address != f"http://127.0.0.1:{port}"
    assert len(said) == 2
    assert services.running("files", paths) == attached.service


def test_a_server_that_dies_by_itself_is_started_once(paths: Paths) -> None:
    """Its port is free: another one would not help, and the end of its log is in the error."""
    said: list[str] = []
    with pytest.raises(ModelyardError, match=r"(?s)did not come up.*unrecognized arguments"):
        attach(program(reserved_port(), "--nonsense"), Settings(), None, said.append)

    assert len(said) == 1
    assert services.running("files", paths) is None
