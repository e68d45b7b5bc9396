"""The intake: batches are stored in groups, and answered with what the launch must know."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from modelyard.contract import LaunchKey, Stop
from modelyard.errors import Fenced, LeaseLost
from modelyard.server.changes import Changes
from modelyard.server.intake import Intake
from modelyard.server.live import LiveJournal
from modelyard.server.load import POSTS_A_SECOND, Load
from modelyard.server.measures import Measures
from tests.unit.serverkit import add_launch, add_sweep, batch, open_journal, step


class Bench:
    """A started intake over a real journal."""

    def __init__(self, folder: Path) -> None:
        self.journal: LiveJournal = open_journal(folder, Changes(asyncio.get_running_loop()))
        self.sweep = add_sweep(self.journal)
        self.lost: list[LeaseLost] = []
        self.intake = Intake(self.journal, Measures(), lost=self.lost.append)
        self.intake.start()

    def close(self) -> None:
        self.intake.stop()
        self.journal.close()


def with_bench(folder: Path, scenario: Any) -> None:
    async def run() -> None:
        bench = Bench(folder)
        try:
            work: Coroutine[Any, Any, None] = scenario(bench)
            await work
        finally:
            await asyncio.to_thread(bench.close)

    asyncio.run(run())


def test_posted_is_stored_once(tmp_path: Path) -> None:
    """A batch is stored when the answer comes; the same batch again is stored once."""

    async def scenario(bench: Bench) -> None:
        key = add_launch(bench.journal, bench.sweep.id)
        sent = batch(step(1), step(2))

        replies = [await bench.intake.post(key, sent), await bench.intake.post(key, sent)]

        assert [reply.accepted for reply in replies] == [2, 2]
        assert [event.sequence for event in bench.journal.events(0)] == [1, 2]

    with_bench(tmp_path, scenario)


def test_many_posts_at_once_are_answered_each(tmp_path: Path) -> None:
    """Posts that arrive together share transactions, and each gets its own answer."""

    async def scenario(bench: Bench) -> None:
        keys = [add_launch(bench.journal, bench.sweep.id, str(task)) for task in range(40)]
        stranger = LaunchKey(sweep=bench.sweep.id, task="99", number=1)

        answers = await asyncio.gather(
            *(
                bench.intake.post(key, batch(*(step(1),) * (n % 3 + 1)))
                for n, key in enumerate(keys)
            ),
            bench.intake.post(stranger, batch(step(1))),
            return_exceptions=True,
        )

        assert [getattr(one, "accepted", None) for one in answers[:-1]] == [
            n % 3 + 1 for n in range(40)
        ]
        assert isinstance(answers[-1], Fenced)

    with_bench(tmp_path, scenario)


def test_stop_is_answered_from_memory(tmp_path: Path) -> None:
    """Once a stop is written down, the launch's next post learns why; its end forgets it."""

    async def scenario(bench: Bench) -> None:
        key = add_launch(bench.journal, bench.sweep.id)
        before = await bench.intake.post(key, batch(step(1)))

        bench.journal.stop_launch(key, Stop.PRUNED)
        after = await bench.intake.post(key, batch(step(2), first=2))
        bench.journal.end_launch(key)

        assert (before.stop, after.stop) == (None, Stop.PRUNED)
        assert bench.journal.stop_of(key) is None

    with_bench(tmp_path, scenario)


def test_stops_of_an_earlier_server_are_remembered(tmp_path: Path) -> None:
    """A server that takes over answers with the stops that were written before it."""

    async def scenario(bench: Bench) -> None:
        key = add_launch(bench.journal, bench.sweep.id)
        bench.journal.stop_launch(key, Stop.CANCELLED)
        bench.journal.release()

        later = open_journal(tmp_path, Changes(asyncio.get_running_loop()))
        later.remember_stops(bench.sweep.id)

        assert later.stop_of(key) is Stop.CANCELLED
        later.close()

    with_bench(tmp_path, scenario)


def test_a_lost_lease_is_told(tmp_path: Path) -> None:
    """When another server took the journal over nothing is stored, and the server learns it."""

    async def scenario(bench: Bench) -> None:
        key = add_launch(bench.journal, bench.sweep.id)
        bench.journal.release()

        with pytest.raises(LeaseLost):
            await bench.intake.post(key, batch(step(1)))

        assert len(bench.lost) == 1

    with_bench(tmp_path, scenario)


def poster(task: int) -> LaunchKey:
    return LaunchKey(sweep="aaaaaaaa", task=str(task), number=1)


def test_no_interval_while_the_server_keeps_up() -> None:
    """A few trials that post often are not slowed."""
    load = Load()

    intervals = {load.posted(poster(n % 4), n / 150) for n in range(600)}

    assert intervals == {0.0}


def test_posters_are_spread_under_load() -> None:
    """500 trials that post at once are asked to keep to the rate together, and let go after."""
    load = Load()

    crowded = [load.posted(poster(n), n / 1000) for n in range(500)][-1]
    calm = load.posted(poster(0), 60.0)

    assert crowded == pytest.approx(500 / POSTS_A_SECOND)
    assert calm == 0.0


def test_slowed_posters_stay_slowed() -> None:
    """The interval holds while the posters need it, and doesn't flutter."""
    load = Load()
    for n in range(500):
        load.posted(poster(n), n / 1000)

    # Each keeps to the 2.5 s that it was given: together 200 a second.
    kept = [load.posted(poster(n % 500), 1.0 + n / POSTS_A_SECOND) for n in range(1000)]

    assert min(kept) > 2.0
