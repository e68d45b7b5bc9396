"""The controller with its own journal and study, over an executor that follows a script."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
import pytest

from modelyard.api import Desired, StageState, SweepRequest, TrialState
from modelyard.contract import (
    Batch,
    Body,
    Checkpoint,
    Document,
    Event,
    Exit,
    Failure,
    LaunchKey,
    Metrics,
    Stage,
    Stop,
    TrialResult,
)
from modelyard.data.card import DataCard
from modelyard.executor import Capacity, Change, Evidence, Job, JobPhase, LaunchRequest, Snapshot
from modelyard.experiment.model import Experiment
from modelyard.journal.journal import Journal
from modelyard.journal.migrate import migrate
from modelyard.models.families import FAMILIES
from modelyard.settings import Settings
from modelyard.sweep.controller import SweepController, space_of
from modelyard.sweep.jobs import JobBoard
from modelyard.sweep.stage import StageController, StageOrder
from modelyard.sweep.world import Finish, Outcome, TaskAction
from modelyard.trial.termination import Termination

SWEEP = "abcdefgh"
DEADLINE_SECONDS = 60.0
CARD = DataCard(kind="image", task="classification", rows=10, target="digit", shape=(8, 8, 1))
Script = Callable[["Program"], Evidence | None]
"""Plays one launch: posts through the program, and says how it ends; None goes on running."""


class Crash(BaseException):
    """The server died here."""


@dataclass
class Program:
    """One scripted launch: what it was given, how it speaks, and how it is played once more."""

    key: LaunchKey
    request: LaunchRequest
    journal: Journal
    again: Callable[[], object]
    sent: int = 0

    def post(self, *bodies: Body) -> Any:
        events = []
        for body in bodies:
            self.sent += 1
            events.append(Event(sequence=self.sent, at=0.0, body=body))
        return self.journal.append([(self.key, Batch(events=tuple(events)))])[0]


def complete(program: Program) -> Evidence:
    """A trial that reports two steps and comes to a result."""
    value = int(program.key.task) / 100 if program.key.task.isdigit() else 0.5
    program.post(Metrics(step=1, values={"validation_accuracy": value}))
    program.post(Metrics(step=2, values={"validation_accuracy": value}))
    program.post(TrialResult(metrics={"accuracy": value}, step=2, model="file:///m"))
    return Evidence(exit_code=0)


@dataclass
class ScriptedExecutor:
    """The Executor protocol over scripts that run at once, on the event loop."""

    journal: Journal
    script: Script
    jobs: dict[LaunchKey, Job] = field(default_factory=dict)
    started: list[LaunchKey] = field(default_factory=list)
    queues: list[asyncio.Queue[Change]] = field(default_factory=list)
    most: int = 0
    news: Callable[[], None] = lambda: None
    capacity: Capacity = field(default_factory=lambda: Capacity(cores=2))

    async def expect(self, request: LaunchRequest, at_once: int) -> None:
        """Nothing has to be got ready for them."""

    async def retire(self, sweep: str) -> None:
        """These launches share nothing."""

    async def launch(self, requests: tuple[LaunchRequest, ...]) -> None:
        for request in requests:
            key = request.spec.key
            if key in self.jobs:
                assert self.jobs[key].spec_digest == request.spec.digest
                continue
            self.started.append(key)
            self._put(Job(key=key, spec_digest=request.spec.digest, phase=JobPhase.RUNNING))
            running = [job for job in self.jobs.values() if job.phase is JobPhase.RUNNING]
            self.most = max(self.most, len(running))
            self._play_soon(key, request)

    def _play_soon(self, key: LaunchKey, request: LaunchRequest) -> None:
        loop = asyncio.get_running_loop()
        program = Program(
            key=key,
            request=request,
            journal=self.journal,
            again=lambda: loop.call_later(0.01, self._play, program),
        )
        loop.call_soon(self._play, program)

    def _play(self, program: Program) -> None:
        evidence = self.script(program)
        self.news()
        if evidence is not None:
            self.end(program.key, evidence)

    def end(self, key: LaunchKey, evidence: Evidence) -> None:
        job = self.jobs.get(key)
        if job is not None and job.phase is JobPhase.RUNNING:
            phase = JobPhase.SUCCEEDED if evidence.exit_code == 0 else JobPhase.FAILED
            self._put(Job(key=key, spec_digest=job.spec_digest, phase=phase, evidence=evidence))

    async def stop(self, key: LaunchKey, grace_seconds: float) -> None:
        assert grace_seconds > 0
        self.end(key, Evidence(exit_code=Exit.STOPPED))

    async def clean(self, key: LaunchKey) -> None:
        job = self.jobs.pop(key, None)
        if job is not None:
            self._tell(Change(job=job, gone=True))

    async def watch(self) -> AsyncIterator[Snapshot | Change]:
        queue: asyncio.Queue[Change] = asyncio.Queue()
        self.queues.append(queue)
        yield Snapshot(jobs=tuple(self.jobs.values()))
        while True:
            yield await queue.get()

    async def close(self) -> None:
        self.jobs.clear()

    def _put(self, job: Job) -> None:
        self.jobs[job.key] = job
        self._tell(Change(job=job))

    def _tell(self, change: Change) -> None:
        for queue in self.queues:
            queue.put_nowait(change)


@dataclass
class House:
    """One installation in a folder, over the restarts of its server."""

    folder: Path
    experiment: Experiment
    journal: Journal

    def settings(self) -> Settings:
        return Settings(home=self.folder)

    def trials(self) -> list[TrialState]:
        return [row.state for row in self.journal.trials(SWEEP)]

    def stage(self, name: str) -> Any:
        return next(row for row in self.journal.stages(SWEEP) if row.stage == name)


@contextmanager
def house(
    folder: Path, *, written: tuple[str, ...] | None = None, **document: Any
) -> Iterator[House]:
    given = Experiment.model_validate(
        {
            "name": "s",
            "data": {"source": "sklearn:digits"},
            "search": {"sampler": "random", "pruner": "none", "space": {"x": {"float": [0, 1]}}},
            "budget": {"trials": 6, "parallel": 2},
            **document,
        }
    )
    url = f"sqlite:///{folder}/journal.db"
    migrate(url)
    journal = Journal.open(url, lease_seconds=10)
    journal.acquire("http://127.0.0.1:1")
    request = SweepRequest(experiment=given.to_document())
    shared = Document(experiment=given.to_document(), store="file:///store", written=written)
    journal.create_sweep(SWEEP, request, shared)
    prepared = journal.begin_stage(SWEEP, "prepare")
    outcome = {"snapshot": "file:///snap", "card": CARD.model_dump(mode="json")}
    snapshot = {"outcome": outcome, "state": StageState.COMPLETE}
    journal.end_stage(prepared.__class__(**{**prepared.__dict__, **snapshot}))
    journal.begin_stage(SWEEP, "sweep")
    yield House(folder=folder, experiment=given, journal=journal)
    journal.close()


async def attempt(
    of: House,
    executor: ScriptedExecutor,
    boundary: Callable[[TaskAction, str], None] = lambda _a, _w: None,
    order: StageOrder | None = None,
) -> Finish:
    """One life of the server: board and controller, until the end or a crash."""
    board = JobBoard(executor, environment={})
    following = asyncio.create_task(board.run())
    common: Any = {
        "sweep": of.journal.sweep(SWEEP),
        "journal": of.journal,
        "board": board,
        "settings": of.settings(),
        "boundary": boundary,
    }
    controller = (
        SweepController(**common) if order is None else StageController(order=order, **common)
    )
    executor.news = controller.wake
    try:
        return await asyncio.wait_for(controller.run(), DEADLINE_SECONDS)
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


def run(of: House, script: Script = complete, **more: Any) -> tuple[Finish, ScriptedExecutor]:
    executor = ScriptedExecutor(journal=of.journal, script=script)
    return asyncio.run(attempt(of, executor, **more)), executor


def told(folder: Path) -> list[str]:
    study = optuna.load_study(study_name=SWEEP, storage=f"sqlite:///{folder}/optuna.db")
    return [trial.state.name for trial in study.trials]


def test_a_sweep_runs_to_its_end(tmp_path: Path) -> None:
    """Six trials on two slots: all complete, the best in the stage's outcome, no job left."""
    with house(tmp_path) as of:
        finish, executor = run(of)
        assert finish.outcome is Outcome.COMPLETE
        assert of.trials() == [TrialState.COMPLETE] * 6
        assert told(tmp_path) == ["COMPLETE"] * 6
        assert of.stage("sweep").outcome["trial"] == 5
        assert of.journal.sweep(SWEEP).trials == 6
        assert executor.jobs == {}
        assert len(executor.started) == 6


class Boundaries:
    """Crashes at the n-th boundary of the controller, and counts them."""

    def __init__(self, at: int) -> None:
        self.left = at

    def __call__(self, _action: TaskAction, _when: str) -> None:
        self.left -= 1
        if self.left == 0:
            raise Crash


def flaky(program: Program) -> Evidence:
    """Even trials are killed at their first launch, after a checkpoint."""
    if int(program.key.task) % 2 == 0 and program.key.number == 1:
        program.post(Checkpoint(epoch=1, uri="file:///c"))
        return Evidence(signal=9)
    return complete(program)


@pytest.mark.parametrize("embedded", [True, False], ids=["jobs die too", "jobs live on"])
def test_a_server_killed_at_every_boundary_loses_nothing(tmp_path: Path, embedded: bool) -> None:
    """Killed before, within and after its actions again and again, it ends with each trial once."""
    with house(tmp_path, budget={"trials": 4, "parallel": 2}) as of:
        executor = ScriptedExecutor(journal=of.journal, script=flaky)
        finish = None
        for life in range(200):
            if embedded:
                executor.jobs.clear()
            executor.queues.clear()
            try:
                # Each life gets a little further than the one before.
                finish = asyncio.run(attempt(of, executor, Boundaries(4 + life)))
                break
            except Crash:
                continue
        assert finish == Finish(outcome=Outcome.COMPLETE)
        assert of.trials() == [TrialState.COMPLETE] * 4
        assert told(tmp_path) == ["COMPLETE"] * 4
        assert all(row.ended_at for row in of.journal.launches(SWEEP))
        assert executor.jobs == {}


def test_a_killed_trial_resumes_from_its_folder(tmp_path: Path) -> None:
    """Launch 2 of a killed trial is told where launch 1 left its checkpoints."""
    with house(tmp_path, budget={"trials": 1, "parallel": 1}) as of:
        _, executor = run(of, flaky)
        assert [key.number for key in executor.started] == [1, 2]
        first, second = of.journal.launches(SWEEP)
        assert first.failure is not None
        assert first.failure.category == "preempted"
        assert first.spec.resume is None
        assert second.spec.resume == f"file:///store/sweeps/{SWEEP}/0"
        assert second.spec.inputs == {"snapshot": "file:///snap"}


def test_the_next_launch_avoids_the_node_that_failed_it(tmp_path: Path) -> None:
    """A pull that failed on one node: launch 2 stays away from it, and every later one too."""
    avoided = []

    def script(program: Program) -> Evidence:
        avoided.append(program.request.placement.avoid)
        if program.key.number == 3:
            return complete(program)
        return Evidence(reason="ForkServerLost", host=f"n{program.key.number}")

    with house(tmp_path, budget={"trials": 1, "parallel": 1}) as of:
        assert run(of, script)[0].outcome is Outcome.COMPLETE
        assert avoided == [(), ("n1",), ("n1", "n2")]


def test_a_last_message_is_stored_as_the_result(tmp_path: Path) -> None:
    """A trial that ended while the intake was away isn't run again."""

    def script(program: Program) -> Evidence:
        left = Termination(
            launch=str(program.key),
            metrics={"accuracy": 0.75},
            model="file:///m",
            health={"health": 0.5},
        )
        return Evidence(exit_code=Exit.STOPPED, termination=left.model_dump_json())

    with house(tmp_path, budget={"trials": 2, "parallel": 2}) as of:
        finish, executor = run(of, script)
        assert finish.outcome is Outcome.COMPLETE
        assert len(executor.started) == 2
        assert [row.values for row in of.journal.trials(SWEEP)] == [(0.75,), (0.75,)]
        assert of.stage("sweep").outcome["model"] == "file:///m"
        assert of.stage("sweep").outcome["health"] == {"health": 0.5}


HEALTH_AWARE = {
    "sampler": "random",
    "pruner": {"name": "median", "startup_trials": 1, "interval_steps": 1},
    "space": {"x": {"float": [0, 1]}},
    "mode": {"name": "health-aware", "metric_weight": 0.6},
}

SCORED = {"0": (0.90, 0.2), "1": (0.88, 0.9), "2": (0.95, None), "3": (0.80, 1.0)}
"""Accuracy and health of four trials."""


def scored(program: Program) -> Evidence:
    """A trial that comes to a metric, with health where some was measured."""
    accuracy, health = SCORED.get(program.key.task, (0.5, 0.5))
    scores = {} if health is None else {"stability": health, "health": health}
    program.post(
        TrialResult(
            metrics={"accuracy": accuracy},
            health=scores,
            outcome={"numbers": f"file:///numbers-{program.key.task}"},
        )
    )
    return Evidence(exit_code=0)


def test_a_health_aware_sweep_judges_by_metric_and_health(tmp_path: Path) -> None:
    """The sampler is told totals and the best total wins; what trials are worth stays as it is."""
    with house(tmp_path, search=HEALTH_AWARE, budget={"trials": 4, "parallel": 2}) as of:
        run(of, scored)
        rows = of.journal.trials(SWEEP)
        totals = [0.62, 0.888, 0.95, 0.88]
        assert [row.total for row in rows] == pytest.approx(totals)
        assert [row.values for row in rows] == [(0.90,), (0.88,), (0.95,), (0.80,)]
        assert [row.health.get("health") for row in rows] == [0.2, 0.9, None, 1.0]
        assert rows[1].numbers == "file:///numbers-1"
        study = optuna.load_study(study_name=SWEEP, storage=f"sqlite:///{tmp_path}/optuna.db")
        assert [trial.value for trial in study.trials] == pytest.approx(totals)
        found = of.stage("sweep").outcome
        assert (found["trial"], found["values"], found["numbers"]) == (
            2,
            [0.95],
            "file:///numbers-2",
        )


def test_the_healthier_of_two_wins_only_in_the_mode_that_asks_for_it(tmp_path: Path) -> None:
    """Of 0.90 with poor health and 0.88 with good, each mode chooses its own."""
    chosen = {}
    for name, search in {"simple": {"mode": "simple"}, "health-aware": {}}.items():
        folder = tmp_path / name
        folder.mkdir()
        budget = {"trials": 2, "parallel": 1}
        with house(folder, search={**HEALTH_AWARE, **search}, budget=budget) as of:
            run(of, scored)
            chosen[name] = of.stage("sweep").outcome["trial"]

    assert chosen == {"simple": 0, "health-aware": 1}


def test_pruners_look_at_the_metric_in_a_health_aware_sweep(tmp_path: Path) -> None:
    """A trial that lags by its metric is pruned, whatever the totals of the others are."""

    def script(program: Program) -> Evidence | None:
        if program.key.task != "3":
            program.post(Metrics(step=1, values={"validation_accuracy": 0.9}))
            program.post(TrialResult(metrics={"accuracy": 0.9}, health={"health": 0.0}))
            return Evidence(exit_code=0)
        # Above every total, below every metric.
        program.post(Metrics(step=1, values={"validation_accuracy": 0.8}))
        return None

    with house(tmp_path, search=HEALTH_AWARE, budget={"trials": 4, "parallel": 1}) as of:
        run(of, script)
        assert of.trials() == [TrialState.COMPLETE] * 3 + [TrialState.PRUNED]
        assert [row.total for row in of.journal.trials(SWEEP)][:3] == pytest.approx([0.54] * 3)


def test_keys_that_only_a_cluster_follows_are_said(tmp_path: Path) -> None:
    """On this machine they change nothing, and a note names them."""
    with house(tmp_path, resources={"queue": "gpus"}, budget={"trials": 1}) as of:
        run(of)
        assert any("resources.queue" in note for note in of.journal.sweep(SWEEP).notes)


def test_each_way_to_end_is_told_as_the_table_says(tmp_path: Path) -> None:
    """Out of memory is pruned for the sampler and infeasible for us; a bug and NaN are failed."""
    ends = {
        "0": Evidence(signal=9, reason="MemoryLimit"),
        "1": Evidence(exit_code=Exit.DIVERGED),
        "2": Evidence(exit_code=Exit.BUG),
    }

    def script(program: Program) -> Evidence:
        return ends.get(program.key.task) or complete(program)

    with house(tmp_path, budget={"trials": 4, "parallel": 4}) as of:
        finish, _ = run(of, script)
        assert finish.outcome is Outcome.COMPLETE
        assert of.trials() == [
            TrialState.INFEASIBLE,
            TrialState.FAILED,
            TrialState.FAILED,
            TrialState.COMPLETE,
        ]
        assert told(tmp_path) == ["PRUNED", "FAIL", "FAIL", "COMPLETE"]


def test_a_pruned_trial_is_stopped_and_told_its_last_value(tmp_path: Path) -> None:
    """A trial that lags behind is stopped with the reason pruned, which its next post learns."""
    pruner = {"name": "median", "startup_trials": 2}
    space = {"x": {"float": [0, 1]}}
    stops = []

    def script(program: Program) -> Evidence | None:
        if program.key.task != "3":
            program.post(Metrics(step=1, values={"validation_accuracy": 0.9}))
            program.post(TrialResult(metrics={"accuracy": 0.9}))
            return Evidence(exit_code=0)
        if of.trials().count(TrialState.COMPLETE) < 3:
            program.again()  # its first step takes longer than all of theirs
        else:
            program.post(Metrics(step=1, values={"validation_accuracy": 0.1}))
        return None  # it trains on, until it is stopped

    with house(
        tmp_path,
        search={"sampler": "random", "pruner": pruner, "space": space},
        budget={"trials": 4, "parallel": 1},
    ) as of:
        run(of, script)
        stops = [row.stop for row in of.journal.launches(SWEEP, "3")]
        assert stops == [Stop.PRUNED]
        assert of.trials() == [TrialState.COMPLETE] * 3 + [TrialState.PRUNED]
        study = optuna.load_study(study_name=SWEEP, storage=f"sqlite:///{tmp_path}/optuna.db")
        assert study.trials[3].value == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("desired", "state", "stop"),
    [
        (Desired.CANCELLED, TrialState.CANCELLED, Stop.CANCELLED),
        (Desired.INTERRUPTED, TrialState.WAITING, Stop.INTERRUPTED),
    ],
)
def test_stopping_a_sweep_leaves_no_job(
    tmp_path: Path, desired: Desired, state: TrialState, stop: Stop
) -> None:
    """Cancelled trials are told so and don't count; interrupted ones stay open. No job is left."""

    def script(program: Program) -> Evidence | None:
        if program.key.task == "0":
            return complete(program)
        if TrialState.COMPLETE in of.trials():
            of.journal.update_sweep(SWEEP, desired=desired)
        else:
            program.again()
        return None

    with house(tmp_path) as of:
        finish, executor = run(of, script)
        assert finish.outcome == desired.value
        assert executor.jobs == {}
        assert set(of.trials()) == {TrialState.COMPLETE, state}
        assert {row.stop for row in of.journal.launches(SWEEP)} == {None, stop}
        if desired is Desired.INTERRUPTED:
            assert of.stage("sweep").state is StageState.RUNNING
            of.journal.update_sweep(SWEEP, desired=Desired.RUNNING)
            finish, _ = run(of)
            assert finish.outcome is Outcome.COMPLETE
            assert of.trials() == [TrialState.COMPLETE] * 6


def test_three_equal_bugs_stop_the_sweep(tmp_path: Path) -> None:
    """The same error three times in a row ends the sweep with one message, the rest uncharged."""

    def script(program: Program) -> Evidence:
        program.post(Failure(exit=Exit.BUG, summary="KeyError: 'x'", detail="Traceback …"))
        return Evidence(exit_code=Exit.BUG)

    with house(tmp_path, budget={"trials": 20, "parallel": 1}) as of:
        finish, executor = run(of, script)
        assert finish.outcome is Outcome.FAILED
        assert "KeyError: 'x'" in finish.message
        assert len(executor.started) == 3
        assert of.trials().count(TrialState.FAILED) == 3
        failure = of.stage("sweep").failure
        assert failure.summary == finish.message
        assert failure.evidence["traceback"] == "Traceback …"


def test_a_configuration_error_charges_no_trial_and_can_be_mended(tmp_path: Path) -> None:
    """The sweep stops with the trial's own sentence, which is no note that would stay when it
    goes on; restarted, the same trials run."""

    def script(program: Program) -> Evidence:
        program.post(Failure(exit=Exit.CONFIGURATION, summary="no column 'age'"))
        return Evidence(exit_code=Exit.CONFIGURATION)

    with house(tmp_path) as of:
        finish, _ = run(of, script)
        assert (finish.outcome, finish.message) == (Outcome.FAILED, "no column 'age'")
        assert set(of.trials()) == {TrialState.WAITING}
        assert "no column 'age'" not in of.journal.sweep(SWEEP).notes
        of.journal.restart_stage(SWEEP, "sweep")
        assert run(of)[0].outcome is Outcome.COMPLETE
        assert of.trials() == [TrialState.COMPLETE] * 6


def test_a_grid_cuts_the_budget_and_says_so(tmp_path: Path) -> None:
    """Three cells for six trials: three run, and a note says why."""
    search = {"sampler": "grid", "pruner": "none", "space": {"x": [1, 2, 3]}}
    with house(tmp_path, search=search) as of:
        run(of)
        row = of.journal.sweep(SWEEP)
        assert row.trials == 3
        assert len(of.trials()) == 3
        assert any("grid" in note for note in row.notes)


def test_more_trials_at_once_than_cores_is_said(tmp_path: Path) -> None:
    """Six at once on two cores are allowed, and the sweep's notes name both numbers."""
    with house(tmp_path, budget={"trials": 6, "parallel": 6}) as of:
        run(of)
        assert any(
            "6 trials at once" in note and "2 cores" in note
            for note in of.journal.sweep(SWEEP).notes
        )


def test_a_stage_is_retried_like_a_trial(tmp_path: Path) -> None:
    """A killed train stage gets its next launch; its result is the stage's outcome."""

    def script(program: Program) -> Evidence:
        if program.key.number == 1:
            return Evidence(signal=9)
        program.post(
            TrialResult(metrics={"accuracy": 1.0}, model="file:///m", outcome={"family": "mlp"})
        )
        return Evidence(exit_code=0)

    with house(tmp_path) as of:
        of.journal.begin_stage(SWEEP, "train")
        order = StageOrder(stage=Stage.TRAIN, parameters={"x": 0.5}, epochs=3)
        finish, executor = run(of, script, order=order)
        assert finish.outcome is Outcome.COMPLETE
        assert [key.task for key in executor.started] == ["train", "train"]
        assert of.stage("train").outcome == {
            "metrics": {"accuracy": 1.0},
            "model": "file:///m",
            "step": None,
            "family": "mlp",
        }
        assert json.loads(of.journal.launches(SWEEP, "train")[1].spec.to_json())["epochs"] == 3


def test_a_failed_stage_can_be_started_again(tmp_path: Path) -> None:
    """A bug fails a stage with its evidence; restarted, it launches anew and completes."""

    with house(tmp_path) as of:
        of.journal.begin_stage(SWEEP, "train")
        order = StageOrder(stage=Stage.TRAIN)
        assert (
            run(of, lambda _: Evidence(exit_code=Exit.BUG), order=order)[0].outcome
            is Outcome.FAILED
        )
        assert of.stage("train").failure.category == "bug"
        of.journal.restart_stage(SWEEP, "train")
        assert run(of, complete, order=order)[0].outcome is Outcome.COMPLETE


def test_without_a_space_the_familys_own_is_searched_but_for_what_is_fixed() -> None:
    """The server searches what ``modelyard check`` says, for a document from elsewhere too."""
    experiment = Experiment.model_validate(
        {
            "name": "a",
            "data": {"source": "sklearn:digits"},
            "model": {"family": "mlp", "parameters": {"layers": 2}},
            "train": {"learning_rate": 0.01},
        }
    )
    document = Experiment.model_validate(experiment.to_document())
    searched = space_of(document, {"card": CARD.model_dump(mode="json")})
    suits = {*FAMILIES["mlp"].space, "batch_size"}  # as there are few rows
    assert searched.keys() == suits - {"layers", "learning_rate"}


@pytest.mark.parametrize("written", [None, ("learning_rate",)])
def test_a_default_space_follows_the_data_over_restarts(
    written: tuple[str, ...] | None, tmp_path: Path
) -> None:
    """The server fills in a named family's space too, says so once, and leaves alone what was
    written, be it at its default."""
    searching = {"sampler": "random", "pruner": "none"}
    with house(tmp_path, written=written, model="mlp", search=searching) as of:
        with suppress(Crash):
            run(of, boundary=Boundaries(4))
        assert run(of)[0].outcome is Outcome.COMPLETE

        names = {name for row in of.journal.trials(SWEEP) for name in row.parameters}
        assert names == {*FAMILIES["mlp"].space, "batch_size"} - set(written or ())
        sizes = {row.parameters["batch_size"] for row in of.journal.trials(SWEEP)}
        assert sizes <= {4, 8, 12, 16}
        said = "mlp, as the experiment says; batches of 4 to 16, as there are 10 examples"
        assert of.journal.sweep(SWEEP).notes == (f"The default space is searched: {said}.",)
