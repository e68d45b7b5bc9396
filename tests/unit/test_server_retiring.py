"""What a sweep leaves behind is ended and freed after its end, by whichever server comes to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from modelyard.api import SweepState
from modelyard.contract import LaunchKey
from modelyard.errors import ModelyardError
from modelyard.executor import Capacity, Change, Job, JobPhase, LaunchRequest, Snapshot
from modelyard.registry.tracking import Tracking
from modelyard.server.changes import Changes
from modelyard.server.library import Library
from modelyard.server.live import LiveJournal
from modelyard.server.retiring import Retirement
from modelyard.server.stages import Stages
from modelyard.settings import Settings
from tests.unit.serverkit import add_sweep, open_journal, until

LOOKS = 5
"""More than it takes; each lets the executor's news in."""

KEY = LaunchKey(sweep="aaaaaaaa", task="0", number=1)


class Cluster:
    """An executor whose launches outlive it, and that says what it was told."""

    capacity = Capacity(cores=1)

    def __init__(self, *jobs: Job) -> None:
        self.told: list[str] = []
        self.refusals = 0
        self._jobs = {job.key: job for job in jobs}
        self._changes: asyncio.Queue[Change] = asyncio.Queue()

    async def launch(self, requests: tuple[LaunchRequest, ...]) -> None:
        raise AssertionError(f"nothing is launched here: {requests}")

    async def expect(self, request: LaunchRequest, at_once: int) -> None:
        raise AssertionError(f"nothing is expected here: {request}, {at_once}")

    async def stop(self, key: LaunchKey, grace_seconds: float) -> None:
        self.told.append(f"stop {key} in {grace_seconds:g} s")

    def end(self, key: LaunchKey) -> None:
        """The launch ends."""
        self._jobs[key] = replace(self._jobs[key], phase=JobPhase.FAILED)
        self._changes.put_nowait(Change(job=self._jobs[key]))

    async def clean(self, key: LaunchKey) -> None:
        self.told.append(f"clean {key}")
        self._changes.put_nowait(Change(job=self._jobs.pop(key), gone=True))

    async def retire(self, sweep: str) -> None:
        if self.refusals:
            self.refusals -= 1
            raise ModelyardError("the cluster is away")
        self.told.append(f"retire {sweep}")

    async def watch(self) -> AsyncIterator[Snapshot | Change]:
        yield Snapshot(jobs=tuple(self._jobs.values()))
        while True:
            yield await self._changes.get()

    async def close(self) -> None:
        self.told.append("close")


class Yard:
    """A journal with one sweep, and what the next server would look after it with."""

    def __init__(self, folder: Path, cluster: Cluster) -> None:
        self.cluster = cluster
        self.journal: LiveJournal = open_journal(folder, Changes(asyncio.get_running_loop()))
        add_sweep(self.journal)
        settings = Settings(home=folder)
        self.stages = Stages(
            journal=self.journal,
            executor=cluster,
            library=Library(Tracking("sqlite://", str(folder)), settings.paths),
            settings=settings,
            address="http://127.0.0.1:1",
        )
        self.retirement = Retirement(self.journal, self.stages)

    def end_sweep(self, state: SweepState = SweepState.FAILED) -> None:
        self.journal.update_sweep("aaaaaaaa", state=state)


def scene(
    folder: Path, cluster: Callable[[], Cluster], scenario: Callable[[Yard], Awaitable[None]]
) -> None:
    async def run() -> None:
        yard = Yard(folder, cluster())
        yard.stages.start()
        await scenario(yard)
        await yard.stages.close()
        yard.journal.close()

    asyncio.run(run())


def running() -> Cluster:
    return Cluster(Job(key=KEY, spec_digest="d", phase=JobPhase.RUNNING))


def test_a_sweep_that_goes_on_keeps_its_launches(tmp_path: Path) -> None:
    """Nothing of it is stopped, nor when the server ends: the next one adopts them."""

    async def scenario(yard: Yard) -> None:
        await yard.retirement.look()
        await yard.stages.close()

        assert yard.cluster.told == ["close"]
        assert yard.journal.sweep("aaaaaaaa").state is SweepState.RUNNING

    scene(tmp_path, running, scenario)


def test_what_an_ended_sweep_left_running_is_stopped_then_freed(tmp_path: Path) -> None:
    """A launch gets its grace once; when it has ended it is cleaned, and the sweep retired."""

    async def scenario(yard: Yard) -> None:
        yard.end_sweep()
        await yard.retirement.look()
        await yard.retirement.look()
        yard.cluster.end(KEY)
        for _ in range(LOOKS):
            await yard.retirement.look()

        assert yard.cluster.told == [
            "stop aaaaaaaa-0-1 in 3 s",
            "clean aaaaaaaa-0-1",
            "retire aaaaaaaa",
        ]
        assert yard.journal.unretired() == []

    scene(tmp_path, running, scenario)


def test_a_cluster_that_is_away_is_asked_again(tmp_path: Path) -> None:
    """The sweep stays listed until its things are freed, also over the end of a server."""

    async def scenario(yard: Yard) -> None:
        yard.end_sweep(SweepState.INTERRUPTED)
        yard.cluster.refusals = 1
        watch = asyncio.create_task(yard.retirement.watch())
        await until(lambda: not yard.cluster.refusals)
        watch.cancel()
        left = yard.journal.unretired()
        await Retirement(yard.journal, yard.stages).look()

        assert left == ["aaaaaaaa"]
        assert yard.cluster.told == ["retire aaaaaaaa"]
        assert yard.journal.unretired() == []

    scene(tmp_path, Cluster, scenario)
