"""One fork server process, seen from the executor."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from modelyard.executor import THREAD_VARIABLES
from modelyard.local.protocol import WORD, Order, Word, line

PROGRAM = "modelyard.local.forkserver"
"""The module that is the fork server."""

ONE_THREAD = dict.fromkeys(THREAD_VARIABLES, "1")
"""A process that forks must have one thread; numerical libraries start theirs when loaded."""


class Link:
    """A running fork server and the line to it. Used by one event loop.

    Args:
        process: the fork server.
        reader, writer: our end of the channel.
        life: write end of the life line; closing it ends every standby and launch.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        life: int,
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self._life: int | None = life

    @classmethod
    async def open(cls, log: Path) -> Link:
        """Start a fork server. The calling thread must outlive it, see ``fate.py``.

        Args:
            log: file for its own output.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        ours, theirs = socket.socketpair()
        life_read, life_write = os.pipe()
        fds = (theirs.fileno(), life_read)
        words = [*map(str, fds), str(os.getpid())]
        try:
            with log.open("ab") as output:
                process = subprocess.Popen(
                    [sys.executable, "-P", "-m", PROGRAM, *words],
                    pass_fds=fds,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                    env={**os.environ, **ONE_THREAD},
                )
        finally:
            theirs.close()
            os.close(life_read)
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        return cls(process, reader, writer, life_write)

    @property
    def process(self) -> int:
        """The fork server's pid."""
        return self._process.pid

    def send(self, order: Order) -> None:
        """Give an order; lost without an error when the fork server is."""
        self._writer.write(line(order))

    async def words(self) -> AsyncIterator[Word]:
        """What the fork server says, until its channel closes."""
        with contextlib.suppress(ConnectionError):
            while text := await self._reader.readline():
                yield WORD.validate_json(text)

    def kill(self) -> None:
        """SIGKILL; its children end with it."""
        if self._life is not None:
            os.close(self._life)
            self._life = None
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)

    async def close(self) -> None:
        """Kill what is left of it, and collect it."""
        self.kill()
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()
        await asyncio.to_thread(self._process.wait)
