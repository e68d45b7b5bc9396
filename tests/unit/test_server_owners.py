"""Owners: a sweep whose run has gone is interrupted, and what the run started is ended."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil
import pytest

from modelyard.api import Desired, Owner, SweepState
from modelyard.local import services
from modelyard.server import owners
from modelyard.server.changes import Changes
from modelyard.server.owners import STILL_SECONDS, OwnerWatch
from modelyard.server.supervisor import Supervisor
from modelyard.settings import Paths
from tests.unit.serverkit import (
    DEADLINE_SECONDS,
    GONE,
    ToldRunner,
    add_sweep,
    move_owner_clock,
    open_journal,
    until,
)

SILENCE_SECONDS = 300.0
"""Far more than a test takes, which has no silence of its own: clocks are moved instead."""

LATE_SECONDS = SILENCE_SECONDS + 1

SLEEPER = [sys.executable, "-c", "import time; time.sleep(600)"]


@pytest.fixture(autouse=True)
def _unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that stands still in the midst of a test is none that slept or hangs."""
    monkeypatch.setattr(owners, "SLEPT_SECONDS", DEADLINE_SECONDS)
    monkeypatch.setattr(owners, "WIND_DOWN_SECONDS", DEADLINE_SECONDS)


def living(run: str = "r1") -> Owner:
    return Owner(run=run, process=os.getpid(), started=psutil.Process().create_time())


class Bench:
    def __init__(self, folder: Path, run: str | None = None) -> None:
        self.paths = Paths(folder)
        self.journal = open_journal(folder, Changes(asyncio.get_running_loop()))
        self.runner = ToldRunner(self.journal)
        self.supervisor = Supervisor(self.journal, self.runner)
        self.shutdowns: list[str] = []
        self.watch = OwnerWatch(
            self.journal,
            self.supervisor,
            paths=self.paths,
            seconds=SILENCE_SECONDS,
            run=run,
            shutdown=self.shutdowns.append,
        )

    def service(self, name: str, run: str | None) -> services.Service:
        return services.start(
            name, SLEEPER, env=dict(os.environ), address="", run=run, paths=self.paths
        )


def scene(
    folder: Path, scenario: Callable[[Bench], Awaitable[None]], run: str | None = None
) -> None:
    async def play() -> None:
        bench = Bench(folder, run)
        try:
            await scenario(bench)
        finally:
            await bench.supervisor.close()
            bench.journal.close()
            services.stop_all(bench.paths, grace_seconds=0)

    asyncio.run(play())


def test_silence_interrupts(tmp_path: Path) -> None:
    """When the owner was silent for too long its running stage winds down, resumable."""

    async def scenario(bench: Bench) -> None:
        sweep = add_sweep(bench.journal, owner=GONE)
        await bench.supervisor.run_stage(sweep.id, "prepare")
        await until(lambda: bench.runner.started)
        await bench.watch.look()
        before = bench.journal.sweep(sweep.id)

        move_owner_clock(tmp_path, LATE_SECONDS)
        await bench.watch.look()

        after = bench.journal.sweep(sweep.id)
        assert (before.state, after.state) == (SweepState.RUNNING, SweepState.INTERRUPTED)
        assert f"process {GONE.process}" in after.message
        assert after.owner is None

    scene(tmp_path, scenario)


def test_why_a_sweep_was_stopped_outlives_its_run(tmp_path: Path) -> None:
    """A run that has ended by then adds nothing to what its user had said."""

    async def scenario(bench: Bench) -> None:
        sweep = add_sweep(bench.journal, owner=GONE)
        bench.journal.update_sweep(sweep.id, desired=Desired.INTERRUPTED, message="Ctrl-C")
        move_owner_clock(tmp_path, LATE_SECONDS)

        await bench.watch.look()

        after = bench.journal.sweep(sweep.id)
        assert (after.message, after.owner) == ("Ctrl-C", None)

    scene(tmp_path, scenario)


def test_a_living_owner_has_its_time_again_after_a_start(tmp_path: Path) -> None:
    """Just after the server's start silence says nothing of a process that lives."""

    async def scenario(bench: Bench) -> None:
        sweep = add_sweep(bench.journal, owner=living())
        move_owner_clock(tmp_path, LATE_SECONDS)

        await bench.watch.look()

        assert bench.journal.sweep(sweep.id).state is SweepState.RUNNING
        assert not await bench.watch.lapsed(sweep.id)

    scene(tmp_path, scenario)


@pytest.mark.parametrize(
    ("silent", "state"),
    [(LATE_SECONDS, SweepState.RUNNING), (LATE_SECONDS + STILL_SECONDS, SweepState.INTERRUPTED)],
)
def test_a_living_owner_that_stands_still_is_given_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, silent: float, state: SweepState
) -> None:
    """A machine that is busy may stop it for a while; one that hangs is gone in the end."""
    monkeypatch.setattr(owners, "STILL_SECONDS", LATE_SECONDS + STILL_SECONDS / 2)

    async def scenario(bench: Bench) -> None:
        bench.watch._heard_since -= silent  # the server has listened for as long
        sweep = add_sweep(bench.journal, owner=living())
        move_owner_clock(tmp_path, silent)

        lapsed = await bench.watch.lapsed(sweep.id)
        await bench.watch.look()

        assert bench.journal.sweep(sweep.id).state is state
        assert lapsed is (state is SweepState.INTERRUPTED)

    scene(tmp_path, scenario)


def test_a_sweep_that_was_taken_over_since_it_was_looked_at_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was seen of the owner before says nothing about the one that it has now."""

    async def scenario(bench: Bench) -> None:
        sweep = add_sweep(bench.journal, owner=GONE)
        seen = bench.journal.lapsed(-1.0)
        bench.journal.set_owner(sweep.id, living("r2"))
        monkeypatch.setattr(bench.journal, "lapsed", lambda _seconds: seen)

        await bench.watch.look()

        after = bench.journal.sweep(sweep.id)
        assert (after.state, after.desired) == (SweepState.RUNNING, Desired.RUNNING)
        assert after.owner == living("r2")

    scene(tmp_path, scenario)


def test_who_goes_on_while_the_gone_owner_is_dealt_with_keeps_the_sweep(tmp_path: Path) -> None:
    """Both wait for the same stage to wind down; the sweep is the new one's afterwards."""

    async def scenario(bench: Bench) -> None:
        sweep = add_sweep(bench.journal, owner=GONE)
        await bench.supervisor.run_stage(sweep.id, "prepare")
        await until(lambda: bench.runner.started)
        move_owner_clock(tmp_path, LATE_SECONDS)

        await asyncio.gather(
            bench.watch.look(),
            bench.supervisor.continue_sweep(sweep.id, living("r2"), lapsed=True),
        )

        after = bench.journal.sweep(sweep.id)
        assert (after.state, after.desired) == (SweepState.RUNNING, Desired.RUNNING)
        assert after.owner == living("r2")

    scene(tmp_path, scenario)


def test_a_dead_owner_is_known_at_once(tmp_path: Path) -> None:
    """Whether its process lives is looked up, so that going on needn't wait."""

    async def scenario(bench: Bench) -> None:
        gone = add_sweep(bench.journal, owner=GONE)
        nobodys = add_sweep(bench.journal, "bbbbbbbb")

        assert await bench.watch.lapsed(gone.id)
        assert not await bench.watch.lapsed(nobodys.id)

    scene(tmp_path, scenario)


def test_services_of_the_run_end_with_it(tmp_path: Path) -> None:
    """What the run started ends, this server too; what others started stays."""

    async def scenario(bench: Bench) -> None:
        add_sweep(bench.journal, owner=GONE)
        own, other = bench.service("model-a", GONE.run), bench.service("prefect", "r9")
        server = bench.service("server", GONE.run)
        move_owner_clock(tmp_path, LATE_SECONDS)

        await bench.watch.look()

        assert [services.alive(one) for one in (own, other, server)] == [False, True, True]
        assert len(bench.shutdowns) == 1

    scene(tmp_path, scenario, run=GONE.run)


def test_a_server_that_others_use_stays(tmp_path: Path) -> None:
    """The run that started the server has gone, but another's sweep still runs on it."""

    async def scenario(bench: Bench) -> None:
        add_sweep(bench.journal, owner=GONE)
        add_sweep(bench.journal, "bbbbbbbb", owner=living("r2"))
        move_owner_clock(tmp_path, LATE_SECONDS)

        await bench.watch.look()

        assert bench.journal.sweep("bbbbbbbb").state is SweepState.RUNNING
        assert bench.shutdowns == []

    scene(tmp_path, scenario, run=GONE.run)


def test_a_server_that_was_up_before_stays(tmp_path: Path) -> None:
    """A server that no run started outlives every run."""

    async def scenario(bench: Bench) -> None:
        add_sweep(bench.journal, owner=GONE)
        move_owner_clock(tmp_path, LATE_SECONDS)

        await bench.watch.look()

        assert bench.shutdowns == []

    scene(tmp_path, scenario)
