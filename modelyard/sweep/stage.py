"""Stages that are one fit or one measurement, through the loop that trials go through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from modelyard.api import Desired, FailureView, StageState, TrialState
from modelyard.contract import LaunchKey, Scalar, Stage, TrialResult, TrialSpec
from modelyard.executor import Capacity, Placement, Resources
from modelyard.experiment.model import Experiment
from modelyard.journal.journal import Journal
from modelyard.journal.rows import StageRow, SweepRow
from modelyard.settings import Settings
from modelyard.store.store import join
from modelyard.sweep.control import Controller
from modelyard.sweep.jobs import JobBoard
from modelyard.sweep.patience import patiently
from modelyard.sweep.reconciler import Boundary
from modelyard.sweep.waiting import HOUR
from modelyard.sweep.work import Task, placement_of, resources_of
from modelyard.sweep.world import Finish, Outcome, Policy, Record, Tell


@dataclass(frozen=True, kw_only=True)
class StageOrder:
    """What a stage's launches have to do.

    Args:
        stage: prepare, train or evaluate; the name of its only task.
        parameters: the winner's, for train.
        inputs: URIs by role: snapshot, model, champion.
        epochs: length of the fit, for train.
    """

    stage: Stage
    parameters: Mapping[str, Scalar] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    epochs: int | None = None


class StageController(Controller):
    """Runs a stage that is one task.

    Args:
        order: what its launches have to do.
    """

    def __init__(
        self,
        *,
        sweep: SweepRow,
        order: StageOrder,
        journal: Journal,
        board: JobBoard,
        settings: Settings,
        boundary: Boundary = lambda _action, _when: None,
    ) -> None:
        super().__init__(
            sweep=sweep, journal=journal, board=board, settings=settings, boundary=boundary
        )
        self._order = order

    async def run(self) -> Finish:
        """See ``Controller.run``. The stage's outcome holds the result's metrics, model, step and
        what the trial program put into its own."""
        document = await self._document()
        row = (await self._stages())[self._order.stage]
        work = StageWork(
            sweep=self._sweep,
            order=self._order,
            row=row,
            folder=join(document.store, "sweeps", self._sweep.id, self._order.stage),
            journal=self._journal,
            settings=self._settings,
            capacity=self._board.capacity,
        )
        return await self._reconcile(work, started_at=row.started_at)


class StageWork:
    """See ``work.Work``: one fixed task, whose end is the stage's.

    A failed stage that was restarted looks only at launches since then: its earlier ones have
    been judged.
    """

    def __init__(
        self,
        *,
        sweep: SweepRow,
        order: StageOrder,
        row: StageRow,
        folder: str,
        journal: Journal,
        settings: Settings,
        capacity: Capacity,
    ) -> None:
        experiment = Experiment.model_validate(sweep.experiment)
        self.metric = None
        resources = resources_of(experiment.resources, capacity)
        # Reading and measuring are one process's work.
        alone = order.stage is not Stage.TRAIN
        self.resources: Resources = (
            replace(resources, nodes=1, gpus=min(resources.gpus, 1)) if alone else resources
        )
        self.placement: Placement = placement_of(experiment)
        self._sweep = sweep
        self._seed = experiment.seed
        self._order = order
        self._row = row
        self._folder = folder
        self._journal = journal
        self._result: TrialResult | None = None
        self._failure: FailureView | None = None
        self._told: TrialState | None = None
        self._recorded: TrialState | None = None
        self._policy = Policy(
            trials=1,
            parallel=1,
            training_silence_seconds=settings.hung_training_seconds,
            loading_silence_seconds=settings.hung_loading_seconds,
            waiting_seconds=experiment.budget.waiting_hours * HOUR,
            image_pull_seconds=settings.image_pull_seconds,
        )

    def tasks(self) -> Sequence[Task]:
        """The one task, asked for from the start."""
        return [Task(task=self._order.stage, told=self._told, recorded=self._recorded)]

    def policy(self, desired: Desired) -> Policy:
        """The limits, with what is desired now."""
        return replace(self._policy, desired=desired)

    def spec(self, key: LaunchKey) -> TrialSpec:
        """What a launch has to do."""
        return TrialSpec(
            key=key,
            stage=self._order.stage,
            document=self._sweep.document,
            parameters=dict(self._order.parameters),
            seed=self._seed,
            epochs=self._order.epochs,
            resume=self._folder if key.number > 1 else None,
            inputs=dict(self._order.inputs),
        )

    async def ask(self, task: str) -> None:
        """A stage has one task, and that is there from the start."""
        raise ValueError(f"a stage has no task {task}")

    async def report(self, task: str, values: Sequence[tuple[int, float]]) -> bool:
        """Nobody prunes a stage."""
        raise ValueError(f"{task} has no pruner to report {values} to")

    async def tell(self, action: Tell) -> None:
        """Keep the end; it is told again after a crash."""
        self._told = action.state
        self._result = action.result

    async def record(self, action: Record) -> None:
        """Keep the state; the journal's row of the stage is written in ``finish``."""
        self._recorded = action.state
        self._failure = action.failure

    async def finish(self, action: Finish) -> None:
        """Write the stage's end; an interrupted one stays open."""
        if action.outcome is Outcome.INTERRUPTED:
            return
        complete = action.outcome is Outcome.COMPLETE
        failure = (
            self._failure
            or action.failure
            or FailureView(
                category=action.outcome, summary=action.message or "The sweep was cancelled."
            )
        )
        row = replace(
            self._row,
            state=StageState.COMPLETE if complete else StageState.FAILED,
            outcome=outcome_of(self._result) if complete and self._result else {},
            failure=None if complete else failure,
        )
        await patiently(self._journal.end_stage, row)


def outcome_of(result: TrialResult) -> dict[str, Any]:
    """A result as the outcome of its stage."""
    health = {"health": result.health} if result.health else {}
    return {
        "metrics": result.metrics,
        **health,
        "model": result.model,
        "step": result.step,
        **result.outcome,
    }
