"""The spares of a fork server: how many there are, and what they are told ahead."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from modelyard.local.nursery import Nursery
from modelyard.local.protocol import ORDER, Expect
from modelyard.local.spawner import Standby


class Sleepers:
    """Spawns processes that wait; keeps them, and the other ends of their lines."""

    def __init__(self) -> None:
        self.standbys: list[Standby] = []
        self.lines: list[socket.socket] = []

    def spawn(self) -> Standby:
        """See ``spawner.Spawner``."""
        ours, theirs = socket.socketpair()
        process = os.posix_spawnp("sleep", ["sleep", "600"], os.environ, setsid=True)
        self.lines.append(theirs)
        self.standbys.append(Standby(process=process, control=ours))
        return self.standbys[-1]


@contextmanager
def sleeping() -> Iterator[tuple[Nursery, Sleepers]]:
    """A nursery that keeps one spare where nothing is expected."""
    sleepers = Sleepers()
    nursery = Nursery(sleepers, spares=1)
    try:
        yield nursery, sleepers
    finally:
        nursery.kill_all()
        for line in [*sleepers.lines, *(standby.control for standby in sleepers.standbys)]:
            line.close()


def expected(sweep: str, launches: int) -> Expect:
    """So many launches of a sweep."""
    return Expect(sweep=sweep, launches=launches, environment={"of": sweep})


def fill(nursery: Nursery) -> int:
    """Make the spares that are missing; how many those were."""
    made = 0
    while nursery.lacks_spares:
        nursery.add_spare()
        made += 1
    return made


def test_there_are_as_many_spares_as_launches_are_expected() -> None:
    """A sweep that starts finds a process for each of its slots; when it has ended they go."""
    with sleeping() as (nursery, sleepers):
        made = [fill(nursery)]
        for order in (expected("a", 2), expected("b", 2), expected("a", 0), expected("b", 0)):
            nursery.expect(order)
            made.append(fill(nursery))
        alive = [psutil.pid_exists(standby.process) for standby in sleepers.standbys]

    assert made == [1, 1, 2, 0, 0]
    assert alive == [True, False, False, False]


def test_each_spare_rehearses_what_was_expected_last() -> None:
    """Spares that are there already are told, and those that are made later."""
    with sleeping() as (nursery, sleepers):
        fill(nursery)
        for order in (expected("a", 2), expected("b", 1)):
            nursery.expect(order)
            fill(nursery)
        said = [line.recv(65536).splitlines() for line in sleepers.lines]

    a, b = expected("a", 2), expected("b", 1)
    assert [[ORDER.validate_json(text) for text in texts] for texts in said] == [
        [a, b],
        [a, b],
        [b],
    ]
