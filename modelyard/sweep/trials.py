"""The work of a sweep: its trials, between the study, the journal and the experiment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

from modelyard.api import Desired, FailureView, StageState, TrialState
from modelyard.contract import LaunchKey, Stage, TrialResult, TrialSpec
from modelyard.executor import Placement, Resources
from modelyard.experiment.model import Experiment
from modelyard.health.scores import total
from modelyard.journal.journal import Journal
from modelyard.journal.rows import StageRow, SweepRow, TrialRow
from modelyard.store.store import join
from modelyard.sweep.patience import patiently, patiently_in
from modelyard.sweep.study import Asked, SweepStudy
from modelyard.sweep.winner import choose_winner
from modelyard.sweep.work import Task
from modelyard.sweep.world import Finish, Outcome, Policy, Record, Tell

R = TypeVar("R")

ASKED_TOGETHER = 16
"""Most trials that are stored at once: the first of them wait for the last."""


class TrialWork:
    """See ``work.Work``. The study is called in one thread of its own.

    Args:
        policy: limits; what is desired is filled in at each look.
        inputs: URIs that every trial gets: the snapshot.
        store: base URI of the installation's artifacts.
    """

    def __init__(
        self,
        *,
        sweep: SweepRow,
        experiment: Experiment,
        journal: Journal,
        study: SweepStudy,
        thread: ThreadPoolExecutor,
        policy: Policy,
        resources: Resources,
        placement: Placement,
        inputs: dict[str, str],
        store: str,
    ) -> None:
        self.resources = resources
        self.placement = placement
        self.metric = f"validation_{experiment.objective[0].metric}"
        self._sweep = sweep
        self._experiment = experiment
        self._journal = journal
        self._study = study
        self._thread = thread
        self._policy = policy
        self._inputs = inputs
        self._folder = join(store, "sweeps", sweep.id)
        self._asked: list[Asked] = []
        self._asking = asyncio.Lock()
        self._wanted = 0
        self._rows: dict[int, TrialRow] = {}

    async def open(self) -> None:
        """Load what study and journal hold already."""
        self._asked = await self._studying(self._study.trials)
        rows = await patiently(self._journal.trials, self._sweep.id)
        self._rows = {row.number: row for row in rows}

    def tasks(self) -> Sequence[Task]:
        """All trials by number."""
        return [
            Task(
                task=str(asked.number),
                told=asked.told,
                recorded=self._rows[asked.number].state if asked.number in self._rows else None,
                reported=asked.reported,
            )
            for asked in self._asked
        ]

    def policy(self, desired: Desired) -> Policy:
        """The limits, with what is desired now."""
        return replace(self._policy, desired=desired)

    def spec(self, key: LaunchKey) -> TrialSpec:
        """What a launch has to do; the same for the same key, whenever it is asked for."""
        return TrialSpec(
            key=key,
            stage=Stage.TRIAL,
            document=self._sweep.document,
            parameters=self._asked[int(key.task)].parameters,
            seed=self._experiment.seed,
            epochs=self._experiment.trial_epochs,
            resume=join(self._folder, key.task) if key.number > 1 else None,
            inputs=self._inputs,
        )

    async def ask(self, task: str) -> None:
        """Sample and store a trial, together with others that are to be asked for now."""
        number = int(task)
        self._wanted = max(self._wanted, number + 1)
        await asyncio.sleep(0)  # the others of this look say first what they want
        # In order: while one is tried again, the next would take its number.
        async with self._asking:
            first = len(self._asked)
            if number >= first:
                most = min(self._wanted - first, ASKED_TOGETHER)
                self._asked += await self._studying(lambda: self._study.ask_several(first, most))

    async def report(self, task: str, values: Sequence[tuple[int, float]]) -> bool:
        """Let the pruner see steps; whether the trial is to be stopped."""
        number = int(task)
        prune = await self._studying(lambda: self._study.report(number, values))
        await self._look_again(number)
        return prune

    async def tell(self, action: Tell) -> None:
        """Tell the study a trial's end."""
        number, values = int(action.task), self._judged(action.state, action.result)
        # Each on its own: what is asked for meanwhile need not wait for the database.
        await self._studying(lambda: self._study.learn(number, action.state, values))
        await self._studying(lambda: self._study.tell(number, action.state, values))
        await self._look_again(number)

    async def record(self, action: Record) -> None:
        """Write a trial's state to the journal."""
        row = self._row(int(action.task), action.state, action.failure, action.result)
        await patiently(self._journal.put_trial, row)
        self._rows[row.number] = row

    async def finish(self, action: Finish) -> None:
        """Write the sweep stage's end; an interrupted stage stays open."""
        if action.outcome is Outcome.INTERRUPTED:
            return
        complete = action.outcome is Outcome.COMPLETE
        failure = action.failure or FailureView(
            category=action.outcome, summary=action.message or "The sweep was cancelled."
        )
        row = StageRow(
            sweep=self._sweep.id,
            stage="sweep",
            state=StageState.COMPLETE if complete else StageState.FAILED,
            started_at=0.0,
            outcome=self._outcome() if complete else {},
            failure=None if complete else failure.model_copy(update=_said(action)),
        )
        await patiently(self._journal.end_stage, row)
        # Why it failed stands in the stage alone: a note would stay when the sweep goes on.
        if action.message and complete:
            await patiently(self._journal.update_sweep, self._sweep.id, note=action.message)

    def _outcome(self) -> dict[str, object]:
        winner = choose_winner(list(self._rows.values()), self._experiment.objective)
        best = winner.best
        if best is None:
            return {}
        return {
            "trial": best.number,
            "values": list(best.values),
            "parameters": best.parameters,
            "metrics": best.metrics,
            "health": best.health,
            "total": best.total,
            "step": best.step,
            "model": best.model,
            "numbers": best.numbers,
            "front": list(winner.front),
        }

    def _row(
        self,
        number: int,
        state: TrialState,
        failure: FailureView | None,
        result: TrialResult | None,
    ) -> TrialRow:
        return TrialRow(
            sweep=self._sweep.id,
            number=number,
            state=state,
            parameters=self._asked[number].parameters,
            values=self._values(state, result),
            metrics={} if result is None else result.metrics,
            step=None if result is None else result.step,
            model=None if result is None else result.model,
            health={} if result is None else result.health,
            total=self._total(state, result),
            numbers=None if result is None else result.outcome.get("numbers"),
            failure=failure,
        )

    def _values(self, state: TrialState, result: TrialResult | None) -> tuple[float, ...]:
        if state is not TrialState.COMPLETE or result is None:
            return ()
        return tuple(result.metrics[one.metric] for one in self._experiment.objective)

    def _total(self, state: TrialState, result: TrialResult | None) -> float | None:
        mode, values = self._experiment.search.mode, self._values(state, result)
        if mode.name == "simple" or not values or result is None:
            return None
        return total(values[0], result.health, mode.metric_weight)

    def _judged(self, state: TrialState, result: TrialResult | None) -> tuple[float, ...]:
        """What the sampler is told; the pruner has seen the metric alone."""
        judged = self._total(state, result)
        return self._values(state, result) if judged is None else (judged,)

    async def _look_again(self, number: int) -> None:
        self._asked[number] = await self._studying(lambda: self._study.trial(number))

    async def _studying(self, call: Callable[[], R]) -> R:
        return await patiently_in(self._thread, call)


def _said(action: Finish) -> dict[str, object]:
    return {"summary": action.message} if action.message else {}
