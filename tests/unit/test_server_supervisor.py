"""The supervisor: stages run once, sweeps reach the state that somebody wants."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from modelyard.api import Desired, FailureView, Owner, StageState, SweepState
from modelyard.errors import ModelyardError
from modelyard.journal.rows import SweepRow
from modelyard.server import endings
from modelyard.server.changes import Changes
from modelyard.server.live import LiveJournal
from modelyard.server.stages import StageFailed
from modelyard.server.supervisor import Conflict, Supervisor
from tests.unit.serverkit import DEADLINE_SECONDS, ToldRunner, add_sweep, open_journal, until

OWNER = Owner(run="r1", process=4242, started=1.0)
DONE = {"sentence": "it answers"}


class Bench:
    """A supervisor over a real journal and a runner told what to do."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.journal: LiveJournal = open_journal(folder, Changes(asyncio.get_running_loop()))
        self.take_over()

    def take_over(self) -> None:
        """What a new server starts with: the journal, and nothing in memory."""
        self.runner = ToldRunner(self.journal)
        self.supervisor = Supervisor(self.journal, self.runner)

    async def do(self, sweep: str, *stages: str) -> None:
        for stage in stages:
            await self.supervisor.run_stage(sweep, stage)
            await self.runner.end(sweep, stage, DONE | {"verdict": "champion"})
            assert await self.supervisor.settled(sweep, DEADLINE_SECONDS)

    def state(self, sweep: str) -> SweepState:
        return self.journal.sweep(sweep).state

    def stage(self, sweep: str, name: str) -> StageState:
        return next(row.state for row in self.journal.stages(sweep) if row.stage == name)


def scene(folder: Path, scenario: Callable[[Bench, SweepRow], Awaitable[None]]) -> None:
    async def run() -> None:
        bench = Bench(folder)
        await scenario(bench, add_sweep(bench.journal, owner=OWNER))
        await bench.supervisor.close()
        bench.journal.close()

    asyncio.run(run())


def test_a_stage_runs_once(tmp_path: Path) -> None:
    """Asked for again, a running stage goes on and a complete one gives its outcome."""

    async def scenario(bench: Bench, sweep: SweepRow) -> None:
        await bench.supervisor.run_stage(sweep.id, "prepare")
        await bench.supervisor.run_stage(sweep.id, "prepare")
        await bench.runner.end(sweep.id, "prepare", {"snapshot": "file:///s"})
        await bench.supervisor.settled(sweep.id, DEADLINE_SECONDS)

        again = await bench.supervisor.run_stage(sweep.id, "prepare")

        assert again.outcome == {"snapshot": "file:///s"}
        assert bench.runner.started == [(sweep.id, "prepare")]

    scene(tmp_path, scenario)


def test_stages_keep_their_order(tmp_path: Path) -> None:
    """A stage is refused before the one that it builds on is complete."""

    async def scenario(bench: Bench, sweep: SweepRow) -> None:
        with pytest.raises(Conflict, match="comes after prepare, which was not started"):
            await bench.supervisor.run_stage(sweep.id, "train")

    scene(tmp_path, scenario)


def test_complete_after_the_last_stage(tmp_path: Path) -> None:
    """The sweep is complete once it is deployed, and says where it answers."""

    async def scenario(bench: Bench, sweep: SweepRow) -> None:
        await bench.do(sweep.id, "prepare", "sweep", "train", "evaluate", "register")
        before = bench.state(sweep.id)

        await bench.do(sweep.id, "deploy")

        assert before is SweepState.RUNNING
        assert bench.state(sweep.id) is SweepState.COMPLETE
        assert bench.journal.sweep(sweep.id).message == "it answers"

    scene(tmp_path, scenario)


def test_without_deploy_it_ends_with_the_version(tmp_path: Path) -> None:
    """``deploy: null`` makes register the last stage; a flow that asks for deploy passes."""

    async def scenario(bench: Bench, _: SweepRow) -> None:
        add_sweep(bench.journal, "bbbbbbbb", deploy=None)

        await bench.do("bbbbbbbb", "prepare", "sweep", "train", "evaluate", "register")
        left_out = await bench.supervisor.run_stage("bbbbbbbb", "deploy")

        assert bench.state("bbbbbbbb") is SweepState.COMPLETE
        assert left_out.state is StageState.COMPLETE
        assert "skipped" in left_out.outcome

    scene(tmp_path, scenario)


def test_refused_by_a_gate(tmp_path: Path) -> None:
    """A rejected version ends the sweep as refused, and nothing is deployed."""

    async def scenario(bench: Bench, sweep: SweepRow) -> None:
        await bench.do(sweep.id, "prepare", "sweep", "train", "evaluate")
        await bench.supervisor.run_stage(sweep.id, "register")
        outcome = {"verdict": "rejected", "sentence": "rejected: the gate accuracy …"}
        await bench.runner.end(sweep.id, "register", outcome)
        await bench.supervisor.settled(sweep.id, DEADLINE_SECONDS)

        left_out = await bench.supervisor.run_stage(sweep.id, "deploy")

        assert bench.state(sweep.id) is SweepState.REFUSED
        assert left_out.outcome == {"skipped": "rejected: the gate accuracy …"}
        assert (sweep.id, "deploy") not in bench.runner.started

    scene(tmp_path, scenario)


def test_a_failed_stage_is_tried_again_only_after_continue(tmp_path: Path) -> None:
    """A failure ends the sweep with its reason; continuing starts the stage afresh."""

    async def scenario(bench: Bench, sweep: SweepRow) -> None:
        failure = FailureView(category="bug", summary="it broke", evidence={"exit_code": 1})
        await bench.supervisor.run_stage(sweep.id, "prepare")
        await bench.runner.end(sweep.id, "prepare", StageFailed(failure))
        await bench.supervisor.settled(sweep.id, DEADLINE_SECONDS)
        failed = await bench.supervisor.run_stage(sweep.id, "prepare")
        message = bench.journal.sweep(sweep.id).message

        row = await bench.supervisor.continue_sweep(sweep.id, OWNER, lapsed=False)
        await bench.do(sweep.id, "prepare")

        assert (failed.state, failed.failure) == (StageState.FAILED, failure)
        assert message == "prepare failed: it broke"
        assert row.state is SweepState.RUNNING
        assert bench.stage(sweep.id, "prepare") is StageState.COMPLETE

    scene(tmp_path, scenario)


def test_an_unexpected_error_is_a_bug(tmp_path: Path) -> None:
    """An exception nobody foresaw ends the stage as a bug with its name."""

    async def scenario(bench: Bench, sweep: SweepRow) -> None:
        await bench.supervisor.run_stage(sweep.id, "prepare")
        await bench.runner.end(sweep.id, "prepare", KeyError("snapshot"))
        await bench.supervisor.settled(sweep.id, DEADLINE_SECONDS)

        (row,) = bench.journal.stages(sweep.id)

        assert row.failure is not None
        assert (row.failure.category, row.failure.summary) == ("bug", "KeyError: 'snapshot'")

    scene(tmp_path, scenario)


def test_interrupted_then_continued(tmp_path: Path) -> None:
    """An interrupted stage stays open, and goes on when the sweep is continued."""

    async def scenario(bench: Bench, sweep: SweepRow) -> None:
        await bench.do(sweep.id, "prepare")
        await bench.supervisor.run_stage(sweep.id, "sweep")
        await until(lambda: (sweep.id, "sweep") in bench.runner.started)

        await bench.supervisor.want(sweep.id, Desired.INTERRUPTED, "Ctrl-C", actor="client")
        await bench.supervisor.settled(sweep.id, DEADLINE_SECONDS)
        stopped = bench.journal.sweep(sweep.id)
        with pytest.raises(Conflict, match=r"interrupted \(Ctrl-C\); continue it first"):
            await bench.supervisor.run_stage(sweep.id, "sweep")
        await bench.supervisor.continue_sweep(sweep.id, OWNER, lapsed=False)
        await bench.do(sweep.id, "sweep")

        assert (stopped.state, stopped.message) == (SweepState.INTERRUPTED, "Ctrl-C")
        assert bench.runner.started.count((sweep.id, "sweep")) == 2
        assert bench.stage(sweep.id, "sweep") is StageState.COMPLETE

    scene(tmp_path, scenario)


def test_cancel_is_final(tmp_path: Path) -> None:
    """A cancelled sweep ends its stage, and can't be continued."""

    async def scenario(bench: Bench, sweep: SweepRow) -> None:
        await bench.supervisor.run_stage(sweep.id, "prepare")
        await until(lambda: bench.runner.started)

        await bench.supervisor.want(sweep.id, Desired.CANCELLED, "enough", actor="client")
        await bench.supervisor.settled(sweep.id, DEADLINE_SECONDS)

        (stage,) = bench.journal.stages(sweep.id)
        assert bench.state(sweep.id) is SweepState.CANCELLED
        assert stage.failure is not None
        assert (stage.failure.category, stage.failure.summary) == ("cancelled", "enough")
        with pytest.raises(Conflict, match="cancelled, which is final"):
            await bench.supervisor.continue_sweep(sweep.id, OWNER, lapsed=False)

    scene(tmp_path, scenario)


def test_cancel_between_two_stages(tmp_path: Path) -> None:
    """With no stage running a wish comes true at once."""

    async def scenario(bench: Bench, sweep: SweepRow) -> None:
        await bench.do(sweep.id, "prepare")

        row = await bench.supervisor.want(sweep.id, Desired.CANCELLED, "", actor="client")

        assert row.state is SweepState.CANCELLED

    scene(tmp_path, scenario)


def test_cancel_of_an_interrupted_sweep_winds_its_stage_down(tmp_path: Path) -> None:
    """Cancelling what is interrupted runs its stage once more, for its trials to be told."""

    async def scenario(bench: Bench, sweep: SweepRow) -> None:
        await bench.supervisor.run_stage(sweep.id, "prepare")
        await until(lambda: bench.runner.started)
        await bench.supervisor.want(sweep.id, Desired.INTERRUPTED, "", actor="client")
        await bench.supervisor.settled(sweep.id, DEADLINE_SECONDS)

        await bench.supervisor.want(sweep.id, Desired.CANCELLED, "", actor="client")
        await bench.supervisor.settled(sweep.id, DEADLINE_SECONDS)

        assert bench.state(sweep.id) is SweepState.CANCELLED
        assert len(bench.runner.started) == 2

    scene(tmp_path, scenario)


def test_a_running_sweep_is_not_continued(tmp_path: Path) -> None:
    """Two runs of one study: the second is told whose it is."""

    async def scenario(bench: Bench, sweep: SweepRow) -> None:
        with pytest.raises(Conflict, match="already runs for process 4242"):
            await bench.supervisor.continue_sweep(sweep.id, OWNER, lapsed=False)

    scene(tmp_path, scenario)


def test_continue_after_the_owner_has_gone(tmp_path: Path) -> None:
    """A sweep whose owner is gone for certain is stopped first, then goes on for the new one."""

    async def scenario(bench: Bench, sweep: SweepRow) -> None:
        await bench.supervisor.run_stage(sweep.id, "prepare")
        await until(lambda: bench.runner.started)
        heir = Owner(run="r2", process=4343, started=2.0)

        row = await bench.supervisor.continue_sweep(sweep.id, heir, lapsed=True)

        assert (row.state, row.desired, row.owner) == (SweepState.RUNNING, Desired.RUNNING, heir)

    scene(tmp_path, scenario)


def test_a_new_server_goes_on_with_sweeps_without_owner(tmp_path: Path) -> None:
    """After a kill open stages of ownerless sweeps go on; owned ones wait for their run."""

    async def scenario(bench: Bench, owned: SweepRow) -> None:
        add_sweep(bench.journal, "bbbbbbbb")
        for sweep in (owned.id, "bbbbbbbb"):
            bench.journal.begin_stage(sweep, "prepare")

        await bench.supervisor.resume()
        await bench.runner.end("bbbbbbbb", "prepare", {})
        await bench.supervisor.settled("bbbbbbbb", DEADLINE_SECONDS)
        await bench.supervisor.run_stage(owned.id, "prepare")
        await until(lambda: len(bench.runner.started) == 2)

        assert bench.runner.started == [("bbbbbbbb", "prepare"), (owned.id, "prepare")]

    scene(tmp_path, scenario)


def test_a_new_server_carries_out_old_wishes(tmp_path: Path) -> None:
    """A sweep that was being stopped when its server died is stopped by the next."""

    async def scenario(bench: Bench, sweep: SweepRow) -> None:
        bench.journal.begin_stage(sweep.id, "prepare")
        bench.journal.update_sweep(sweep.id, desired=Desired.CANCELLED)

        await bench.supervisor.resume()
        await bench.supervisor.settled(sweep.id, DEADLINE_SECONDS)

        assert bench.state(sweep.id) is SweepState.CANCELLED

    scene(tmp_path, scenario)


def test_a_kill_between_stage_end_and_sweep_end(tmp_path: Path) -> None:
    """The last stage's end is in the journal, the sweep's isn't: the next server writes it."""

    async def scenario(bench: Bench, sweep: SweepRow) -> None:
        await bench.do(sweep.id, "prepare", "sweep", "train", "evaluate", "register")
        begun = bench.journal.begin_stage(sweep.id, "deploy")
        from dataclasses import replace

        bench.journal.end_stage(replace(begun, state=StageState.COMPLETE, outcome=DONE))
        bench.take_over()

        await bench.supervisor.resume()

        assert bench.state(sweep.id) is SweepState.COMPLETE

    scene(tmp_path, scenario)


def test_a_locked_journal_does_not_lose_an_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stage's end that can't be written now is written later."""
    monkeypatch.setattr("modelyard.server.supervisor.RETRY_SECONDS", 0.01)

    async def scenario(bench: Bench, sweep: SweepRow) -> None:
        refusals = [ModelyardError("locked"), ModelyardError("locked")]
        write = bench.journal.end_stage

        def end_stage(row: object) -> None:
            if refusals:
                raise refusals.pop()
            write(row)  # type: ignore[arg-type]

        monkeypatch.setattr(bench.journal, "end_stage", end_stage)
        await bench.do(sweep.id, "prepare")

        assert bench.stage(sweep.id, "prepare") is StageState.COMPLETE

    scene(tmp_path, scenario)


def test_a_sweep_that_goes_on_before_its_stop_is_written_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was desired when its last launch ended says nothing once another run took it over."""

    async def scenario(bench: Bench, sweep: SweepRow) -> None:
        seen = bench.journal.update_sweep(sweep.id, desired=Desired.INTERRUPTED)
        bench.journal.update_sweep(sweep.id, desired=Desired.RUNNING)
        with monkeypatch.context() as patch:
            patch.setattr(bench.journal, "sweep", lambda _sweep: seen)
            endings.stopped(bench.journal, sweep.id)

        assert bench.state(sweep.id) is SweepState.RUNNING

    scene(tmp_path, scenario)


def test_a_cancel_that_comes_as_a_sweep_is_let_go_on_is_final(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who goes on is told so, and nothing runs."""

    async def scenario(bench: Bench, sweep: SweepRow) -> None:
        await bench.supervisor.want(sweep.id, Desired.INTERRUPTED, "", actor="test")

        def set_owner(*_: object) -> None:
            bench.journal.update_sweep(sweep.id, desired=Desired.CANCELLED)
            endings.stopped(bench.journal, sweep.id)

        monkeypatch.setattr(bench.journal, "set_owner", set_owner)
        with pytest.raises(Conflict, match="was cancelled, which is final"):
            await bench.supervisor.continue_sweep(sweep.id, None, lapsed=False)

        assert bench.state(sweep.id) is SweepState.CANCELLED

    scene(tmp_path, scenario)
