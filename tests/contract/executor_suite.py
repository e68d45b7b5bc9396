"""What every executor promises, as tests. A module for one executor subclasses it.

The program is always the trial program, on real data; faked is only the server behind the wire.
The subclass's module gives the fixture ``bench``.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest

from modelyard.contract import Document, Exit, LaunchKey, Stage, TrialResult, TrialSpec, Variable
from modelyard.executor import (
    AlreadyLaunched,
    Change,
    Executor,
    Job,
    JobPhase,
    LaunchRequest,
    Resources,
    Snapshot,
)
from modelyard.experiment.model import Experiment
from tests.support.intake import Intake

T = TypeVar("T")

DEADLINE = 300.0
ENDED = (JobPhase.SUCCEEDED, JobPhase.FAILED)
ROOMY = Resources(memory_bytes=2 * 1024**3)


@dataclass(kw_only=True)
class Bench:
    """An executor, its event loop, and an intake that its launches can reach.

    Args:
        store: base URI of artifacts, writable by launches.
        deadline: seconds after which anything counts as hanging.
    """

    runner: asyncio.Runner
    executor: Executor
    intake: Intake
    store: str
    deadline: float = DEADLINE
    numbers: Any = field(default_factory=lambda: itertools.count(1))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the executor's loop, not for ever."""

        async def bounded() -> T:
            async with asyncio.timeout(self.deadline):
                return await work

        return self.runner.run(bounded())

    def request(
        self,
        stage: Stage = Stage.PREPARE,
        *,
        resources: Resources = ROOMY,
        epochs: int = 2,
        document: str | None = None,
        parameters: dict[str, Any] | None = None,
        inputs: dict[str, str] | None = None,
        resume: str | None = None,
        data: dict[str, Any] | None = None,
        model: str = "mlp",
        code: str | None = None,
    ) -> LaunchRequest:
        """A launch of a small network on the iris table, under a key of its own."""
        experiment = Experiment.model_validate(
            {
                "name": "iris",
                "data": {"source": "sklearn:iris", **(data or {})},
                "model": model,
                "train": {"epochs": epochs, "optimizer": "sgd"},
            }
        )
        whole = Document(experiment=experiment.to_document(), store=self.store, code=code)
        key = LaunchKey(sweep="contract", task=str(next(self.numbers)), number=1)
        spec = TrialSpec(
            key=key,
            stage=stage,
            document=document or self.intake.add(whole),
            parameters=parameters or {},
            seed=7,
            epochs=epochs if stage is Stage.TRIAL else None,
            inputs=inputs or {},
            resume=resume,
        )
        environment = {Variable.SERVER.value: self.intake.address}
        return LaunchRequest(spec=spec, resources=resources, environment=environment)

    def snapshot(self) -> str:
        """URI of the data, prepared by a launch as always."""
        request = self.request()
        self.run(self.carry_out(request))
        (result,) = self.intake.bodies(request.spec.key, "result")
        assert isinstance(result, TrialResult)
        return str(result.outcome["snapshot"])

    def endless(self) -> LaunchRequest:
        """A fit that will not end by itself."""
        return self.request(Stage.TRIAL, epochs=1_000_000, inputs={"snapshot": self.snapshot()})

    async def reaches(self, key: LaunchKey, goal: Callable[[Job], bool]) -> Job:
        """Watch until the launch's job is as wanted."""
        async with aclosing(self.executor.watch()) as watch:
            async for item in watch:
                jobs = item.jobs if isinstance(item, Snapshot) else (item.job,)
                for job in jobs:
                    if job.key == key and goal(job):
                        return job
        raise AssertionError("the watch ended")

    async def carry_out(self, request: LaunchRequest) -> Job:
        """Launch and wait for the end."""
        await self.executor.launch((request,))
        return await self.reaches(request.spec.key, has_ended)

    async def jobs(self) -> dict[LaunchKey, Job]:
        """Everything there is."""
        async with aclosing(self.executor.watch()) as watch:
            first = await anext(watch)
        assert isinstance(first, Snapshot)
        return {job.key: job for job in first.jobs}

    def wait_for(self, key: LaunchKey, kind: str) -> None:
        """Until the launch has told an event of this kind; the executor's loop goes on."""
        there, seconds = (lambda: bool(self.told(key, kind))), self.deadline - 1
        self.run(asyncio.to_thread(self.intake.wait_for, there, seconds))

    def told(self, key: LaunchKey, kind: str) -> list[Any]:
        """The launch's events of a kind so far, each once however often it was sent."""
        return list(self.intake.bodies(key, kind))


def has_ended(job: Job) -> bool:
    """Whether the launch is over."""
    return job.phase in ENDED


class ExecutorSuite:
    """The contract."""

    def test_a_launch_does_its_work(self, bench: Bench) -> None:
        """A launch ends 0 once the intake has its result."""
        request = bench.request()
        job = bench.run(bench.carry_out(request))

        assert (job.phase, job.evidence.exit_code) == (JobPhase.SUCCEEDED, Exit.ACCEPTED)
        assert len(bench.intake.bodies(request.spec.key, "result")) == 1

    def test_a_repeated_launch_is_one_launch(self, bench: Bench) -> None:
        """The same spec again is success, and starts nothing."""
        request = bench.request()

        async def twice() -> None:
            await bench.executor.launch((request,))
            await bench.executor.launch((request, request))
            await bench.reaches(request.spec.key, has_ended)
            await bench.executor.launch((request,))

        bench.run(twice())
        started = bench.told(request.spec.key, "started")

        assert len(started) == 1
        assert bench.run(bench.jobs())[request.spec.key].phase is JobPhase.SUCCEEDED

    def test_another_spec_under_the_same_key_is_refused(self, bench: Bench) -> None:
        """It would be a bug of the controller, so it is said."""
        request = bench.request()
        other = LaunchRequest(
            spec=request.spec.model_copy(update={"seed": 8}),
            resources=request.resources,
            environment=request.environment,
        )
        bench.run(bench.carry_out(request))

        with pytest.raises(AlreadyLaunched):
            bench.run(bench.executor.launch((other,)))

    def test_exit_code_and_last_words_are_evidence(self, bench: Bench) -> None:
        """A document that nobody knows is a matter of configuration: 76, with the reason."""
        job = bench.run(bench.carry_out(bench.request(document="0" * 64)))

        assert (job.phase, job.evidence.exit_code) == (JobPhase.FAILED, Exit.CONFIGURATION)
        assert "no such document" in job.evidence.termination
        assert "no such document" in job.evidence.log_tail

    def test_a_stopped_fit_saves_and_ends_with_75(self, bench: Bench) -> None:
        """SIGTERM and enough grace: the newest checkpoint is told, and the code is not 0."""
        request = bench.endless()
        key = request.spec.key
        bench.run(bench.executor.launch((request,)))
        bench.wait_for(key, "checkpoint")
        bench.run(bench.executor.stop(key, bench.deadline))
        job = bench.run(bench.reaches(key, has_ended))

        assert (job.phase, job.evidence.exit_code) == (JobPhase.FAILED, Exit.STOPPED)

    def test_stopping_again_or_the_unknown_is_no_error(self, bench: Bench) -> None:
        """Stop and clean may be repeated, before and after the end."""
        request = bench.request()
        key = request.spec.key
        bench.run(bench.executor.stop(key, 1.0))
        bench.run(bench.executor.clean(key))
        bench.run(bench.carry_out(request))
        bench.run(bench.executor.stop(key, 1.0))

        assert bench.run(bench.jobs())[key].phase is JobPhase.SUCCEEDED

    def test_no_grace_ends_it_all_the_same(self, bench: Bench) -> None:
        """Without grace the launch is gone, never as a success."""
        request = bench.endless()
        key = request.spec.key
        bench.run(bench.executor.launch((request,)))
        bench.wait_for(key, "progress")
        bench.run(bench.executor.stop(key, 0.0))

        assert bench.run(bench.reaches(key, has_ended)).phase is JobPhase.FAILED

    def test_too_much_memory_ends_the_launch_with_evidence(self, bench: Bench) -> None:
        """A limit below what the program itself needs: ended, and the reason is kept."""
        small = Resources(memory_bytes=32 * 1024**2)
        job = bench.run(bench.carry_out(bench.request(resources=small)))

        assert job.phase is JobPhase.FAILED
        assert job.evidence.reason in ("MemoryLimit", "OOMKilled")

    def test_every_watch_sees_everything(self, bench: Bench) -> None:
        """Two watches at once both begin with what there is and see each change."""
        request = bench.request()
        key = request.spec.key

        async def phases() -> list[JobPhase]:
            seen: list[JobPhase] = []
            async with aclosing(bench.executor.watch()) as watch:
                async for item in watch:
                    if isinstance(item, Change) and item.job.key == key:
                        seen.append(item.job.phase)
                        if has_ended(item.job):
                            break
            return seen

        async def both() -> list[list[JobPhase]]:
            watches = [asyncio.create_task(phases()) for _ in range(2)]
            await asyncio.sleep(0)  # lets both begin; nothing is waited for
            await bench.executor.launch((request,))
            return await asyncio.gather(*watches)

        for seen in bench.run(both()):
            assert seen[-2:] == [JobPhase.RUNNING, JobPhase.SUCCEEDED]

    def test_a_cleaned_launch_is_gone(self, bench: Bench) -> None:
        """Clean ends what still runs, says that it is gone, and the next snapshot lacks it."""
        request = bench.endless()
        key = request.spec.key

        async def clean() -> Change:
            await bench.executor.launch((request,))
            async with aclosing(bench.executor.watch()) as watch:
                await anext(watch)
                await bench.executor.clean(key)
                async for item in watch:
                    if isinstance(item, Change) and item.job.key == key and item.gone:
                        return item
            raise AssertionError("the watch ended")

        gone = bench.run(clean())

        assert gone.job.phase is JobPhase.FAILED
        assert key not in bench.run(bench.jobs())
