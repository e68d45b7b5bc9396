"""The event stream: every event behind the cursor, in order, once, as soon as it is stored."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

from modelyard.api import SweepState
from modelyard.contract import Log
from modelyard.server.changes import Changes
from modelyard.server.live import LiveJournal
from modelyard.server.stream import END, HEARTBEAT, Stream
from tests.unit.serverkit import DEADLINE_SECONDS, add_launch, add_sweep, batch, open_journal, step


class Bench:
    def __init__(self, folder: Path) -> None:
        self.changes = Changes(asyncio.get_running_loop())
        self.journal: LiveJournal = open_journal(folder, self.changes)
        self.stream = Stream(self.journal, self.changes, heartbeat_seconds=60)
        self.sweep = add_sweep(self.journal).id
        self.key = add_launch(self.journal, self.sweep)


def scene(folder: Path, scenario: Callable[[Bench], Awaitable[None]]) -> None:
    async def run() -> None:
        bench = Bench(folder)
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                await scenario(bench)
        finally:
            bench.stream.close()
            bench.journal.close()

    asyncio.run(run())


def ids(chunk: bytes) -> list[int]:
    lines = chunk.decode().splitlines()
    named = [int(line.removeprefix("id: ")) for line in lines if line.startswith("id: ")]
    told = [json.loads(line[6:])["id"] for line in lines if line.startswith("data: ")]
    assert named == told
    return told


def subscribe(
    bench: Bench, sweep: str | None, after: int = 0
) -> aclosing[AsyncGenerator[bytes, None]]:
    return aclosing(bench.stream.subscribe(sweep, after))


def test_replay_then_news(tmp_path: Path) -> None:
    """A subscriber gets what it missed, then what comes, without a gap or a repetition."""

    async def scenario(bench: Bench) -> None:
        bench.journal.append([(bench.key, batch(step(1), step(2), step(3)))])
        async with subscribe(bench, None, after=1) as chunks:
            assert await anext(chunks) == HEARTBEAT
            missed = ids(await anext(chunks))
            news = asyncio.ensure_future(anext(chunks))
            await asyncio.to_thread(bench.journal.append, [(bench.key, batch(step(4), first=4))])

            assert (missed, ids(await news)) == ([2, 3], [4])

    scene(tmp_path, scenario)


def test_one_sweep_only_and_to_its_end(tmp_path: Path) -> None:
    """Of one sweep only its events are sent, and the stream says when no more will come."""

    async def scenario(bench: Bench) -> None:
        other = add_launch(bench.journal, add_sweep(bench.journal, "bbbbbbbb").id)
        bench.journal.append([(other, batch(step(1))), (bench.key, batch(Log(lines=("x",))))])
        bench.journal.update_sweep(bench.sweep, state=SweepState.COMPLETE)

        chunks = [chunk async for chunk in bench.stream.subscribe(bench.sweep, 0)]

        assert [ids(chunk) for chunk in chunks[1:-1]] == [[2]]
        assert chunks[-1] == END

    scene(tmp_path, scenario)


def test_heartbeat_when_nothing_happens(tmp_path: Path) -> None:
    """A quiet line is kept alive by a comment."""

    async def scenario(bench: Bench) -> None:
        quiet = Stream(bench.journal, bench.changes, heartbeat_seconds=0.01)
        async with aclosing(quiet.subscribe(None, 0)) as chunks:
            assert [await anext(chunks), await anext(chunks)] == [HEARTBEAT, HEARTBEAT]
        quiet.close()

    scene(tmp_path, scenario)


def test_subscribers_are_let_go_at_the_end(tmp_path: Path) -> None:
    """When the server ends, a waiting subscriber's stream ends too."""

    async def scenario(bench: Bench) -> None:
        async with subscribe(bench, None) as chunks:
            await anext(chunks)
            waiting = asyncio.ensure_future(anext(chunks, b"over"))
            bench.changes.close()

            assert await waiting == b"over"

    scene(tmp_path, scenario)


def test_changes_are_counted_for_each_sweep(tmp_path: Path) -> None:
    """Whoever waits for a sweep is woken by its change, not by another's."""

    async def scenario(bench: Bench) -> None:
        await asyncio.sleep(0)  # what the bench itself has changed is counted
        known = bench.changes.count(bench.sweep)
        waiting = asyncio.ensure_future(bench.changes.wait(bench.sweep, known, 60))
        bench.changes.notify("bbbbbbbb")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        early = waiting.done()

        bench.journal.update_sweep(bench.sweep, note="grid")
        await waiting

        assert not early
        assert bench.changes.count(bench.sweep) == known + 1

    scene(tmp_path, scenario)
