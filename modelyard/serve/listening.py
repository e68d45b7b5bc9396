"""Uvicorn on a socket that others may share, told when it listens and asked whether it drains."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

DRAIN_SECONDS = 10
"""How long requests in flight may take after SIGTERM."""

UNHEARD_SECONDS = 2.0
"""How long who has connected may take after SIGTERM until the request comes."""

TURNS = 10
"""Of the event loop: in the first who waits at the port is let in, in the next ones heard."""


class Server(uvicorn.Server):
    """Serves until SIGTERM; requests in flight are answered first, and those of whoever has
    connected by then: uvicorn would hang up on them unheard.

    Args:
        app: what answers.
        on_listening: called once connections are accepted.
    """

    def __init__(self, app: FastAPI, on_listening: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                log_level="warning",
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=DRAIN_SECONDS,
            )
        )
        self._on_listening = on_listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """See uvicorn; returns when it listens."""
        await super().startup(sockets)
        self._on_listening()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """See uvicorn; returns when all are answered."""
        for _ in range(TURNS):
            await asyncio.sleep(0)
        deadline = time.monotonic() + UNHEARD_SECONDS
        while self._unheard() and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        await super().shutdown(sockets)

    def _unheard(self) -> bool:
        """Whether somebody has connected and not asked for anything so far."""
        # None before the first request; not every protocol has it.
        return any(getattr(one, "cycle", True) is None for one in self.server_state.connections)
