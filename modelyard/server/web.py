"""The HTTP side: uvicorn on a socket that is listened to already, and its end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from modelyard.errors import InputError, ModelyardError

PORT = 4300
PORTS_TRIED = 100

KEEP_ALIVE_SECONDS = 75
"""How long an idle connection is kept. A trial opens another one where it finds it closed; where
its post meets the closing, it sends it again, and events that came twice are taken once."""


def listen(port: int | None, host: str = "127.0.0.1") -> socket.socket:
    """A listening socket.

    Args:
        port: None takes the next free from 4300.
        host: address to listen on; the default is reached from this machine alone.

    Raises:
        InputError: the port is taken; names it.
    """
    for candidate in range(PORT, PORT + PORTS_TRIED) if port is None else (port,):
        # asyncio turns Nagle's algorithm off only where the protocol is named; with it, each
        # answer of two writes waits 40 ms for the client's delayed acknowledgement.
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        # A port of a server that ended a moment ago counts as free.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, candidate))
            listener.listen(2048)
        except OSError as error:
            listener.close()
            if port is None:
                continue
            raise InputError(
                f"port {port} on {host} can't be used ({error.strerror}); give another --port, "
                "or none to take a free one"
            ) from error
        return listener
    raise InputError(f"no free port from {PORT} to {PORT + PORTS_TRIED - 1} on {host}")


def local_address(listener: socket.socket) -> str:
    """URL by which this machine reaches what listens here."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Web:
    """One uvicorn server. Signals stay with whoever runs it.

    Args:
        app: what answers.
        listener: bound and listening.
    """

    def __init__(self, app: FastAPI, listener: socket.socket) -> None:
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=1,
        )
        self._listener = listener
        self._server = _Server(config)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Answer from here on."""
        self._task = asyncio.create_task(self._server.serve([self._listener]), name="web")
        started = asyncio.create_task(self._server.answering.wait())
        await asyncio.wait({self._task, started}, return_when=asyncio.FIRST_COMPLETED)
        if not started.done():
            started.cancel()
            raise ModelyardError("the web server did not start; its log says why")

    async def stop(self) -> None:
        """Finish what is being answered, a second at most, and close."""
        self._server.should_exit = True
        if self._task is not None:
            await self._task


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.answering = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.answering.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn would raise them again after its end, before trials could be stopped.
        yield
