"""The job board: what the watch brings late, early or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace

import pytest

from modelyard.contract import LaunchKey, Stage, TrialSpec
from modelyard.executor import (
    Capacity,
    Change,
    Evidence,
    Job,
    JobPhase,
    LaunchRequest,
    Placement,
    Resources,
    Snapshot,
)
from modelyard.sweep.jobs import JobBoard

SWEEP = "abcdefgh"
KEY = LaunchKey(sweep=SWEEP, task="0", number=1)
SPEC = TrialSpec(key=KEY, stage=Stage.TRIAL, document="d")
RUNNING = Job(key=KEY, spec_digest=SPEC.digest, phase=JobPhase.RUNNING)


@dataclass
class Watched:
    """An executor whose watch says what the test has it say."""

    during: Callable[[], None] = lambda: None
    asked: list[LaunchKey] = field(default_factory=list)
    says: asyncio.Queue[Snapshot | Change] = field(default_factory=asyncio.Queue)
    capacity: Capacity = field(default_factory=lambda: Capacity(cores=1, slots=2))

    async def launch(self, requests: tuple[LaunchRequest, ...]) -> None:
        self.asked += [request.spec.key for request in requests]
        self.during()
        await asyncio.sleep(0)

    async def expect(self, request: LaunchRequest, at_once: int) -> None: ...

    async def stop(self, key: LaunchKey, grace_seconds: float) -> None: ...

    async def clean(self, key: LaunchKey) -> None: ...

    async def retire(self, sweep: str) -> None: ...

    async def close(self) -> None: ...

    async def watch(self) -> AsyncIterator[Snapshot | Change]:
        while True:
            yield await self.says.get()
            self.says.task_done()


class Bench:
    """A board that follows a ``Watched``."""

    def __init__(self) -> None:
        self.executor = Watched()
        self.said: list[str] = []
        self.board = JobBoard(self.executor, environment={}, said=self.said.append)

    async def say(self, *items: Snapshot | Change) -> None:
        for item in items:
            self.executor.says.put_nowait(item)
        await self.executor.says.join()

    async def launch(self) -> None:
        await self.board.launch(SPEC, Resources(), Placement())

    def phase(self) -> JobPhase | None:
        job = self.board.jobs(SWEEP).get(KEY)
        return None if job is None else job.phase


def scene(play: Callable[[Bench], object]) -> None:
    async def follow() -> None:
        bench = Bench()
        following = asyncio.create_task(bench.board.run())
        try:
            await play(bench)  # type: ignore[misc]
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    asyncio.run(follow())


def test_a_snapshot_taken_before_a_launch_doesnt_lose_it() -> None:
    """The list was asked for, the Job made, and then the list arrives without it."""

    async def play(bench: Bench) -> None:
        await bench.launch()
        await bench.say(Snapshot(jobs=()))
        assert bench.phase() is JobPhase.WAITING
        await bench.say(Change(job=RUNNING))
        assert bench.phase() is JobPhase.RUNNING

    scene(play)


def test_a_launch_that_no_second_snapshot_has_is_gone() -> None:
    """The second list was asked for after the first had come, so after the launch."""

    async def play(bench: Bench) -> None:
        await bench.launch()
        await bench.say(Snapshot(jobs=()), Snapshot(jobs=()))
        assert bench.phase() is None

    scene(play)


def test_what_the_watch_has_shown_is_gone_with_the_next_snapshot() -> None:
    """A Job that was seen, and then isn't listed, was deleted in between."""

    async def play(bench: Bench) -> None:
        await bench.launch()
        await bench.say(Change(job=RUNNING), Snapshot(jobs=()))
        assert bench.phase() is None

    scene(play)


@pytest.mark.parametrize("gone", [False, True])
def test_what_the_watch_brings_during_a_launch_stands(gone: bool) -> None:
    """A Job may run, or be deleted, before the call that made it returns."""

    async def play(bench: Bench) -> None:
        await bench.say(Snapshot(jobs=()))
        bench.executor.during = lambda: bench.board._take(Change(job=RUNNING, gone=gone))
        await bench.launch()
        assert bench.phase() is (None if gone else JobPhase.RUNNING)

    scene(play)


def test_a_launch_that_is_refused_leaves_nothing() -> None:
    """Else it would look as if it waited."""

    def refuse() -> None:
        raise RuntimeError("refused")

    async def play(bench: Bench) -> None:
        bench.executor.during = refuse
        with pytest.raises(RuntimeError):
            await bench.launch()
        assert bench.phase() is None

    scene(play)


def test_other_words_of_the_scheduler_are_said() -> None:
    """What a launch waits for is kept by its task, and each change of it is said once."""
    words = "0/4 nodes are available: 4 Insufficient nvidia.com/gpu."
    waiting = replace(
        RUNNING,
        phase=JobPhase.WAITING,
        evidence=Evidence(reason="Unschedulable", message=words),
    )

    async def play(bench: Bench) -> None:
        await bench.launch()
        assert bench.board.waiting(SWEEP) == {}
        await bench.say(Change(job=waiting), Change(job=waiting))
        assert bench.board.waiting(SWEEP) == {"0": words}
        assert bench.said == [SWEEP]
        await bench.say(Change(job=RUNNING), Change(job=RUNNING))
        assert bench.board.waiting(SWEEP) == {}
        assert bench.said == [SWEEP, SWEEP]

    scene(play)
