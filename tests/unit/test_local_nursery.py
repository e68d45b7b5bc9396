"""The spares of a fork server: how many there are, and what they are told ahead."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from modelyard.local.nursery import Nursery
from modelyard.local.protocol import ORDER, Ended, Expect, Launch, Unspared
from modelyard.local.spawner import Standby


class Sleepers:
    """Spawns processes that wait; keeps them, and the other ends of their lines."""

    def __init__(self) -> None:
        self.seconds = 600
        self.standbys: list[Standby] = []
        self.lines: list[socket.socket] = []

    def spawn(self) -> Standby:
        """See ``spawner.Spawner``."""
        ours, theirs = socket.socketpair()
        process = os.posix_spawnp("sleep", ["sleep", f"{self.seconds}"], os.environ, setsid=True)
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


def lose(nursery: Nursery, sleepers: Sleepers, rounds: int) -> tuple[int, list[Unspared | Ended]]:
    """Make the spares that are missing and see each end; how many, and what was said of it."""
    made, said = 0, list[Unspared | Ended]()
    for _ in range(rounds):
        new = fill(nursery)
        for standby in sleepers.standbys[len(sleepers.standbys) - new :]:
            os.waitid(os.P_PID, standby.process, os.WEXITED | os.WNOWAIT)
        made += new
        said += nursery.reap()
    return made, said


def launch(name: str, folder: Path) -> Launch:
    """A launch whose process does nothing."""
    return Launch(name=name, environment={}, scratch=str(folder), log=str(folder / "log"))


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


def test_spares_that_end_unused_are_made_no_more(tmp_path: Path) -> None:
    """Three in a row of a sweep, then three that rehearse nothing; launches start all the same."""
    with sleeping() as (nursery, sleepers):
        nursery.expect(expected("a", 1))
        sleepers.seconds = 0
        made, said = lose(nursery, sleepers, rounds=20)
        sleepers.seconds = 600
        launched = nursery.launch(launch("a-0-1", tmp_path))
        runs = psutil.pid_exists(launched)

    assert said == [Unspared(sweep="a", how="code 0"), Unspared(sweep="", how="code 0")]
    assert (made, runs) == (6, True)


def test_only_the_sweep_whose_spares_end_unused_has_none() -> None:
    """However often its launches are expected; another's are made, and its own once it is back."""
    with sleeping() as (nursery, sleepers):
        nursery.expect(expected("a", 1))
        sleepers.seconds = 0
        lose(nursery, sleepers, rounds=3)
        sleepers.seconds = 600
        made = []
        for order in (expected("a", 9), expected("b", 4), expected("a", 0), expected("a", 1)):
            nursery.expect(order)
            made.append(fill(nursery))

    assert made == [1, 3, 0, 1]


def test_a_used_spare_shows_that_others_can_live(tmp_path: Path) -> None:
    """Those that somebody kills now and then are replaced for ever."""
    with sleeping() as (nursery, sleepers):
        said = []
        for number in range(2):
            sleepers.seconds = 0
            said += lose(nursery, sleepers, rounds=2)[1]
            sleepers.seconds = 600
            fill(nursery)
            nursery.launch(launch(f"a-{number}-1", tmp_path))

    assert said == []


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
