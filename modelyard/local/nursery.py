"""The fork server's children: who runs, how large, and how each of them ends."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from modelyard.local.memory import memory_bytes
from modelyard.local.protocol import Ended, Expect, Launch, Unspared, line
from modelyard.local.spawner import Spawner, Standby

GIB = 1024**3

LOST_SPARES = 3
"""Spares in a row that end before one is used, until no more like them are made: what they rehearse
crashes, or the machine has no memory for them."""


@dataclass(kw_only=True)
class _Spare:
    """A process that waits, and the sweep whose launches it rehearsed last; empty without one."""

    standby: Standby
    sweep: str = ""


@dataclass(kw_only=True)
class _Child:
    """A launch's process."""

    name: str
    standby: Standby
    limit: int | None
    peak: int = 0
    kill_at: float | None = None
    reason: str = ""
    message: str = ""


class Nursery:
    """Launches and spares of one fork server. Used by its only thread.

    Args:
        spawner: makes processes.
        spares: how many are kept waiting at least, so that a launch needs no fork.
    """

    def __init__(self, spawner: Spawner, spares: int) -> None:
        self._spawner = spawner
        self._wanted_spares = spares
        self._spares: list[_Spare] = []
        self._lost: Counter[str] = Counter()
        self._expected: dict[str, Expect] = {}
        self._children: dict[str, _Child] = {}

    def __bool__(self) -> bool:
        """Whether launches run."""
        return bool(self._children)

    @property
    def lacks_spares(self) -> bool:
        """Whether ``add_spare`` has something to do.

        As many wait as run: launches that start together end together, more often than not.
        """
        return len(self._spares) < self._most_spares

    def add_spare(self) -> None:
        """Make one spare, which rehearses what was expected last."""
        spare = _Spare(standby=self._spawner.spawn())
        self._spares.append(spare)
        for order in list(self._expected.values())[-1:]:
            _pass_on(order, spare)

    def expect(self, order: Expect) -> None:
        """Have spares for a sweep's launches, rehearsed; none any more when no more come."""
        self._expected.pop(order.sweep, None)
        if not order.launches:
            self._lost.pop(order.sweep, None)
        elif self._lost[order.sweep] < LOST_SPARES:
            self._expected[order.sweep] = order
            for spare in self._spares:
                _pass_on(order, spare)
        while len(self._spares) > self._most_spares:
            self._bury(self._spares.pop().standby)

    @property
    def _most_spares(self) -> int:
        if not self._wanted_spares:
            return 0
        expected = sum(order.launches for order in self._expected.values())
        return max(self._wanted_spares, expected, len(self._children))

    def launch(self, request: Launch) -> int:
        """Turn a spare, or a new process, into the launch; returns its pid."""
        while True:
            spare = self._spares.pop(0) if self._spares else _Spare(standby=self._spawner.spawn())
            standby = spare.standby
            try:
                standby.control.sendall(line(request))
                break
            except OSError:  # somebody killed this spare; take the next
                self._bury(standby)
        if self._lost[spare.sweep] < LOST_SPARES:
            del self._lost[spare.sweep]
        self._children[request.name] = _Child(
            name=request.name, standby=standby, limit=request.memory_bytes
        )
        return standby.process

    def end(self, name: str, grace_seconds: float) -> None:
        """SIGTERM to a launch; SIGKILL once the grace is over. Unknown names are no error."""
        child = self._children.get(name)
        if child is None:
            return
        kill_at = time.monotonic() + grace_seconds
        child.kill_at = min(kill_at, child.kill_at or kill_at)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.standby.process, signal.SIGTERM)

    def end_all(self, grace_seconds: float) -> None:
        """SIGTERM to every launch, SIGKILL after the grace; spares end at once."""
        self._wanted_spares = 0
        for spare in self._spares:
            self._bury(spare.standby)
        self._spares.clear()
        for name in self._children:
            self.end(name, grace_seconds)

    def watch(self) -> None:
        """Kill who is over its memory limit or its grace; call it every 100 ms."""
        now = time.monotonic()
        for child in self._children.values():
            size = memory_bytes(child.standby.process)
            child.peak = max(child.peak, size)
            if child.limit is not None and size > child.limit and not child.reason:
                child.reason = "MemoryLimit"
                child.message = (
                    f"it held {size / GIB:.2f} GiB; resources.memory allows "
                    f"{child.limit / GIB:.2f} GiB"
                )
                _kill_session(child.standby.process)
            elif child.kill_at is not None and now >= child.kill_at:
                _kill_session(child.standby.process)

    def reap(self) -> Iterator[Ended | Unspared]:
        """Collect who ended, and end what they left in their sessions."""
        for spare in list(self._spares):
            status = _status(spare.standby.process)
            if status is not None:
                self._spares.remove(spare)
                spare.standby.control.close()
                yield from self._lose(spare.sweep, os.waitstatus_to_exitcode(status))
        for child in list(self._children.values()):
            status = _status(child.standby.process)
            if status is None:
                continue
            del self._children[child.name]
            child.standby.control.close()
            # Its number can't be taken anew while its group has members, and when it has none
            # there is nobody to hit.
            _kill_group(child.standby.process)
            code = os.waitstatus_to_exitcode(status)
            yield Ended(
                name=child.name,
                exit_code=code if code >= 0 else None,
                signal=-code if code < 0 else None,
                reason=child.reason,
                message=child.message,
                peak_memory_bytes=child.peak or None,
            )

    def _lose(self, sweep: str, code: int) -> Iterator[Unspared]:
        """Count a spare that ended unused, and make no more like it once they are too many."""
        self._lost[sweep] += 1
        if self._lost[sweep] == LOST_SPARES:
            self._expected.pop(sweep, None)
            if not sweep:
                self._wanted_spares = 0
            yield Unspared(sweep=sweep, how=f"code {code}" if code >= 0 else f"signal {-code}")

    def kill_all(self) -> None:
        """SIGKILL to everything, and wait until it is gone."""
        for process in self._processes():
            _kill_session(process)
        for process in self._processes():
            with contextlib.suppress(ChildProcessError):
                os.waitpid(process, 0)

    def _processes(self) -> list[int]:
        held: list[_Spare | _Child] = [*self._spares, *self._children.values()]
        return [one.standby.process for one in held]

    def _bury(self, standby: Standby) -> None:
        _kill_session(standby.process)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(standby.process, 0)
        standby.control.close()


def _pass_on(order: Expect, spare: _Spare) -> None:
    spare.sweep = order.sweep
    with contextlib.suppress(OSError):  # somebody killed it; who launches it finds out
        spare.standby.control.sendall(line(order))


def _kill_session(process: int) -> None:
    """Kill a child that is not reaped yet; one that was just made leads no session so far."""
    _kill_group(process)
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)


def _kill_group(process: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process, signal.SIGKILL)


def _status(process: int) -> int | None:
    """Wait status of a child that ended, None while it lives. Reaps it."""
    try:
        found, status = os.waitpid(process, os.WNOHANG)
    except ChildProcessError:
        return 0
    return status if found else None
