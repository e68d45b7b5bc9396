"""The end of a model server loses nobody."""

from __future__ import annotations

import socket
import threading

import pytest
from fastapi import FastAPI

from modelyard.serve import listening
from modelyard.serve.listening import Server

SECONDS = 120.0


class Ending(Server):
    """Tells when its end has begun."""

    def __init__(self, app: FastAPI) -> None:
        self.ready, self.ending = threading.Event(), threading.Event()
        super().__init__(app, self.ready.set)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.ending.set()
        await super().shutdown(sockets)


def test_who_has_connected_before_the_end_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though the request comes only after it has begun, as from a client that is slow."""
    monkeypatch.setattr(listening, "UNHEARD_SECONDS", SECONDS)
    app = FastAPI()
    app.get("/")(lambda: "heard")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Ending(app)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        assert server.ready.wait(SECONDS)
        with socket.create_connection(listener.getsockname(), timeout=SECONDS) as client:
            server.should_exit = True
            assert server.ending.wait(SECONDS)
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            answer = b"".join(iter(lambda: client.recv(4096), b""))
        thread.join(SECONDS)

    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b'"heard"')
    assert not thread.is_alive()
