"""Uvicorn on a socket that others may share, told when it listens and asked whether it drains."""

from __future__ import annotations

import socket
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

DRAIN_SECONDS = 10
"""How long requests in flight may take after SIGTERM."""


class Server(uvicorn.Server):
    """Serves until SIGTERM; requests in flight are answered first.

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
