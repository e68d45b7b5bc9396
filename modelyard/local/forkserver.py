"""The fork server: ``python -P -m modelyard.local.forkserver CHANNEL LIFE PARENT``.

A process of its own, exec'd and never forked from our server, that imports everything once and
gives each launch a process with all of it within milliseconds. It has one thread, so that a
fork copies a sane process, and ends with all its children when its channel closes. What the
first launch, preparing data, doesn't need is imported while there is nothing else to do.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable

from modelyard.local.fate import die_with
from modelyard.local.nursery import Nursery
from modelyard.local.preload import load_first, steps
from modelyard.local.protocol import ORDER, Began, Close, End, Expect, Launch, Ready, Word, line
from modelyard.local.spawner import ForkSpawner, spawner_for

SPARES = 2
"""Kept where nothing is expected. A launch beyond the spares forks on the spot, which takes some
milliseconds more."""
LOOK_SECONDS = 0.1
QUIET_SECONDS = 0.1
"""After a launch, before spares are made: one that came during a fork would wait for it."""


class ForkServer:
    """The loop: orders in, words out, children watched.

    Args:
        channel: line to the executor.
        nursery: holds the children.
        steps: what is still to be imported; spares wait for it, launches don't.
    """

    def __init__(
        self, channel: socket.socket, nursery: Nursery, steps: Iterable[Callable[[], None]]
    ) -> None:
        self._channel = channel
        self._nursery = nursery
        self._steps = deque(steps)
        self._rest = b""
        self._closing = False
        self._quiet_at = 0.0

    def run(self) -> None:
        """Serve until the channel closes, or until all is closed as ordered."""
        woken, wake = os.pipe()
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._say(Ready())
        try:
            while not (self._closing and not self._nursery):
                if not self._turn(woken):
                    break
        except BrokenPipeError:
            pass  # the executor is gone, as if the channel had closed
        finally:
            self._nursery.kill_all()

    def _turn(self, woken: int) -> bool:
        """Wait for something to do and do it; False once the channel is closed."""
        channel = self._channel.fileno()
        ready, _, _ = select.select([channel, woken], [], [], self._patience())
        if woken in ready:
            os.read(woken, 4096)
        if channel in ready and not self._read():
            return False
        if self._nursery:
            self._nursery.watch()
        for ended in self._nursery.reap():
            self._say(ended)
        if not ready:
            self._get_ahead()
        return True

    def _get_ahead(self) -> None:
        """Use a quiet moment for what the next launches are quicker with."""
        if self._steps:
            self._steps.popleft()()
        elif self._nursery.lacks_spares and time.monotonic() >= self._quiet_at:
            self._nursery.add_spare()

    def _patience(self) -> float | None:
        if self._steps:
            return 0.0
        if self._nursery.lacks_spares:
            return max(0.0, self._quiet_at - time.monotonic())
        return LOOK_SECONDS if self._nursery else None

    def _read(self) -> bool:
        chunk = self._channel.recv(1 << 16)
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for text in lines:
            self._obey(text)
        return bool(chunk)

    def _obey(self, text: bytes) -> None:
        match ORDER.validate_json(text):
            case Expect() as expected:
                self._nursery.expect(expected)
            case Launch() as launch:
                process = self._nursery.launch(launch)
                self._quiet_at = time.monotonic() + QUIET_SECONDS
                self._say(Began(name=launch.name, process=process))
            case End(name=name, grace_seconds=grace):
                self._nursery.end(name, grace)
            case Close(grace_seconds=grace):
                self._closing = True
                self._steps.clear()
                self._nursery.end_all(grace)

    def _say(self, word: Word) -> None:
        self._channel.sendall(line(word))


def main(argv: list[str]) -> int:
    """Serve on the inherited file descriptors ``argv[1]`` (channel) and ``argv[2]`` (life).

    Its own end mustn't wait for the channel to be looked at: an import may take seconds.
    ``argv[3]`` is the pid of our server.
    """
    die_with(int(argv[3]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    channel, life = socket.socket(fileno=int(argv[1])), int(argv[2])
    for fd in (channel.fileno(), life):
        os.set_inheritable(fd, False)
    spawner = spawner_for(sys.platform, life)
    forks = isinstance(spawner, ForkSpawner)
    if forks:
        load_first()
    ForkServer(channel, Nursery(spawner, SPARES), steps() if forks else ()).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
