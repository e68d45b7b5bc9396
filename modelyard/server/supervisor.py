"""Runs the stages of sweeps, and sees that a sweep reaches the state that somebody wants."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

from modelyard.api import ENDED, STAGES, Desired, Owner, StageState, SweepState
from modelyard.errors import Interrupted, LeaseLost, ModelyardError
from modelyard.journal.rows import StageRow, SweepRow
from modelyard.server import endings
from modelyard.server.live import LiveJournal

LOG = logging.getLogger(__name__)

RETRY_SECONDS = 1.0

WIND_DOWN_SECONDS = 30.0
"""Longest that continuing waits for an interruption under way."""


class Conflict(ModelyardError):
    """What was asked for doesn't go with the sweep's state; answered with 409."""


class Runner(Protocol):
    """Does the work of stages; see ``stages.Stages``."""

    async def run(self, sweep: SweepRow, stage: str) -> dict[str, Any]:
        """One stage to its end; returns its outcome.

        Raises:
            Interrupted: somebody wants the sweep to stop, and its launches have ended.
            ModelyardError: the stage failed.
        """

    def wake(self, sweep: str) -> None:
        """The journal has news of this sweep: a wish, or events."""


class Supervisor:
    """One task a running stage. All methods belong to the event loop.

    Args:
        journal: where stages and wishes are kept.
        runner: does the stages' work.
    """

    def __init__(self, journal: LiveJournal, runner: Runner) -> None:
        self._journal = journal
        self._runner = runner
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._unended: dict[asyncio.Task[None], str] = {}

    async def resume(self) -> None:
        """Go on with what an earlier server left: sweeps without an owner, and wishes to stop."""
        for row in await asyncio.to_thread(self._journal.sweeps):
            if row.state is not SweepState.RUNNING:
                continue
            await asyncio.to_thread(self._journal.remember_stops, row.id)
            if row.desired is not Desired.RUNNING:
                await self._stop(row)
            elif row.owner is None:
                await self._start_open_stages(row)
            await asyncio.to_thread(self._conclude, row.id)

    async def close(self) -> None:
        """Let go of all stages as they are; the next server goes on with them."""
        tasks = list(self._unended)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def run_stage(self, sweep: str, stage: str) -> StageRow:
        """Start a stage, or return it as it is recorded.

        Raises:
            Conflict: the sweep doesn't run, or an earlier stage isn't complete.
            InputError: no such sweep.
        """
        row = await asyncio.to_thread(self._journal.sweep, sweep)
        recorded = {one.stage: one for one in await asyncio.to_thread(self._journal.stages, row.id)}
        found = recorded.get(stage)
        if found is not None and found.state is not StageState.RUNNING:
            await asyncio.to_thread(endings.stage_ended, self._journal, found)
            return found
        if row.state in (SweepState.COMPLETE, SweepState.REFUSED):
            return _left_out(row, stage)
        _require_running(row, stage)
        _require_earlier(row, stage, recorded)
        begun = await asyncio.to_thread(self._journal.begin_stage, row.id, stage)
        self._start(row, begun)
        return begun

    async def continue_sweep(self, sweep: str, owner: Owner | None, *, lapsed: bool) -> SweepRow:
        """Let an interrupted or failed sweep go on under a new owner.

        Args:
            lapsed: its owner is gone for certain, so a running sweep is stopped first.

        Raises:
            Conflict: it runs, or was cancelled.
        """
        row = await asyncio.to_thread(self._journal.sweep, sweep)
        if row.state is SweepState.RUNNING and (lapsed or row.desired is Desired.INTERRUPTED):
            await self.want(row.id, Desired.INTERRUPTED, "its owner has gone", actor="owner")
            await self.settled(row.id, WIND_DOWN_SECONDS)
            row = await asyncio.to_thread(self._journal.sweep, row.id)
        if row.state in (SweepState.COMPLETE, SweepState.REFUSED):
            return row
        _require_stopped(row)
        return await asyncio.to_thread(self._reopen, row, owner)

    async def want(
        self, sweep: str, desired: Desired, reason: str, *, actor: str, owner: Owner | None = None
    ) -> SweepRow:
        """Write a wish for a sweep and see to it; returns before it has come true.

        Args:
            desired: cancelled or interrupted.
            reason: a sentence for the user.
            actor: who wants it, for the audit.
            owner: it is wanted only while the sweep is this one's.
        """
        row = await asyncio.to_thread(self._journal.sweep, sweep)
        stopped = row.state is SweepState.INTERRUPTED
        if row.state in ENDED or (stopped and desired is Desired.INTERRUPTED):
            return row
        row = await asyncio.to_thread(
            self._journal.update_sweep,
            row.id,
            desired=desired,
            message=reason,
            actor=actor,
            owner=owner,
        )
        if owner not in (None, row.owner):
            return row
        LOG.info("sweep %s is to be %s: %s", row.id, row.desired, reason or "no reason given")
        await self._stop(row)
        return await asyncio.to_thread(self._journal.sweep, row.id)

    async def settled(self, sweep: str, seconds: float) -> bool:
        """Wait until no stage of a sweep runs and its end is written. False when that takes
        longer."""
        tasks = [task for task, of in self._unended.items() if of == sweep]
        if not tasks:
            return True
        _, left = await asyncio.wait(tasks, timeout=seconds)
        return not left

    async def _stop(self, row: SweepRow) -> None:
        """Have the open stages wind down; a sweep without any is stopped at once."""
        # A stage whose task an earlier server took with it is started to wind down: only its
        # controller knows what its trials are to be told.
        await self._start_open_stages(row)
        self._runner.wake(row.id)
        if not self._busy(row.id):
            await asyncio.to_thread(endings.stopped, self._journal, row.id)

    def _busy(self, sweep: str) -> bool:
        return any(of == sweep for of, _ in self._tasks)

    def _conclude(self, sweep: str) -> None:
        """Write what an earlier server didn't come to after a stage's end."""
        for stage in self._journal.stages(sweep):
            if stage.state is not StageState.RUNNING:
                endings.stage_ended(self._journal, stage)

    async def _start_open_stages(self, row: SweepRow) -> None:
        for stage in await asyncio.to_thread(self._journal.stages, row.id):
            if stage.state is StageState.RUNNING:
                self._start(row, stage)

    def _start(self, row: SweepRow, stage: StageRow) -> None:
        key = (row.id, stage.stage)
        if key not in self._tasks:
            task = asyncio.create_task(self._run(row, stage), name=f"{row.id}-{stage.stage}")
            self._tasks[key] = task
            self._unended[task] = row.id
            task.add_done_callback(self._unended.pop)

    async def _run(self, row: SweepRow, stage: StageRow) -> None:
        try:
            ended = await self._attempt(row, stage)
            if ended is not None:
                await _stored(endings.stage_ended, self._journal, ended)
        except LeaseLost:
            return  # nothing may be written any more; whoever renews the lease ends the server
        finally:
            self._tasks.pop((row.id, stage.stage))
        # Read after the task has left the table: a wish written before is seen here, a later one
        # finds no task and stops the sweep itself.
        if not self._busy(row.id):
            await _stored(endings.stopped, self._journal, row.id)

    async def _attempt(self, row: SweepRow, stage: StageRow) -> StageRow | None:
        """The stage as it ended; None where it was stopped on somebody's wish."""
        LOG.info("sweep %s: %s begins", row.id, stage.stage)
        try:
            outcome = await self._runner.run(row, stage.stage)
        except Interrupted:
            return None
        except LeaseLost:
            raise
        except Exception as error:
            LOG.exception("sweep %s: %s failed", row.id, stage.stage)
            return replace(stage, state=StageState.FAILED, failure=endings.failure_of(error))
        LOG.info("sweep %s: %s is complete", row.id, stage.stage)
        return replace(stage, state=StageState.COMPLETE, outcome=outcome)

    def _reopen(self, row: SweepRow, owner: Owner | None) -> SweepRow:
        self._journal.set_owner(row.id, owner)
        for stage in self._journal.stages(row.id):
            if stage.state is StageState.FAILED:
                self._journal.restart_stage(row.id, stage.stage)
        reopened = self._journal.update_sweep(
            row.id,
            state=SweepState.RUNNING,
            desired=Desired.RUNNING,
            message="",
            actor="client",
            wish=row.desired,
        )
        if reopened.state is not SweepState.RUNNING:
            _require_stopped(reopened)  # somebody has cancelled it meanwhile
        return reopened


async def _stored(write: Callable[..., None], *arguments: object) -> None:
    """Write an end for good: a database that is locked or full now may not be so later."""
    while True:
        try:
            return await asyncio.to_thread(write, *arguments)
        except LeaseLost:
            raise
        except ModelyardError as error:
            LOG.error("%s; trying again", error)
            await asyncio.sleep(RETRY_SECONDS)


def _left_out(row: SweepRow, stage: str) -> StageRow:
    """What a flow gets that asks for a stage which this sweep ended without."""
    why = row.message if row.state is SweepState.REFUSED else "the experiment doesn't ask for it"
    return StageRow(
        sweep=row.id,
        stage=stage,
        state=StageState.COMPLETE,
        started_at=row.ended_at or row.created_at,
        ended_at=row.ended_at,
        outcome={"skipped": why},
    )


def _require_running(row: SweepRow, stage: str) -> None:
    if row.state is not SweepState.RUNNING or row.desired is not Desired.RUNNING:
        raise Conflict(
            f"{stage} can't be started: sweep {row.id} is {row.state}"
            + (f" ({row.message})" if row.message else "")
            + ("; continue it first" if row.state not in ENDED else "")
        )


def _require_earlier(row: SweepRow, stage: str, recorded: dict[str, StageRow]) -> None:
    for earlier in STAGES[: STAGES.index(stage)]:
        found = recorded.get(earlier)
        if found is None or found.state is not StageState.COMPLETE:
            state = "was not started" if found is None else f"is {found.state}"
            raise Conflict(f"{stage} of sweep {row.id} comes after {earlier}, which {state}")


def _require_stopped(row: SweepRow) -> None:
    if row.state is SweepState.CANCELLED or row.desired is Desired.CANCELLED:
        raise Conflict(f"sweep {row.id} was cancelled, which is final; start a new one")
    if row.state is SweepState.RUNNING:
        whose = "" if row.owner is None else f" for process {row.owner.process}"
        raise Conflict(
            f"sweep {row.id} ({row.name}) already runs{whose}; wait for its end, "
            f"or cancel it with `modelyard cancel {row.id}`"
        )
