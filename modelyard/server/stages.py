"""The six stages of a sweep: what each is given, who does it, and what it came to."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from modelyard.api import FailureView, StageState
from modelyard.contract import LaunchKey, Stage, Variable
from modelyard.errors import Interrupted, ModelyardError
from modelyard.executor import Executor, JobPhase
from modelyard.experiment.model import Experiment
from modelyard.journal.rows import SweepRow
from modelyard.server import handover
from modelyard.server.library import Library
from modelyard.server.live import LiveJournal
from modelyard.settings import Settings
from modelyard.store.store import store_for
from modelyard.sweep.control import Controller
from modelyard.sweep.jobs import JobBoard
from modelyard.sweep.patience import patiently
from modelyard.sweep.stage import StageController, StageOrder, outcome_of
from modelyard.sweep.world import Outcome

if TYPE_CHECKING:
    from modelyard.sweep.controller import SweepController


class StageFailed(ModelyardError):
    """A stage ended without what it was for.

    Args:
        failure: as the journal has it.
    """

    def __init__(self, failure: FailureView) -> None:
        self.failure = failure
        super().__init__(failure.summary)


class Stages:
    """Runs stages; see ``supervisor.Runner``. Belongs to the event loop.

    Args:
        journal: outcomes of earlier stages are read from it.
        executor: where launches run.
        library: registers and deploys, in worker threads.
        settings: of the installation.
        address: of this server, where launches post.
    """

    def __init__(
        self,
        *,
        journal: LiveJournal,
        executor: Executor,
        library: Library,
        settings: Settings,
        address: str,
    ) -> None:
        self._journal = journal
        self._executor = executor
        self._library = library
        self._settings = settings
        self._store = store_for(settings.store_base, cache=settings.paths.cache)
        self._board = JobBoard(
            executor,
            environment=_environment(settings, address),
            grace_seconds=settings.grace_seconds,
            said=self._waiting_changed,
        )
        self._watch: asyncio.Task[None] | None = None
        self._running: dict[str, Controller] = {}
        self._unwanted: set[LaunchKey] = set()

    def start(self) -> None:
        """Follow the executor; its fork server is up before the first trial."""
        self._watch = asyncio.create_task(self._board.run(), name="job board")

    def load(self) -> None:
        """Import Optuna, which takes a second; from any thread, and harmless when repeated."""
        _controller_type()

    async def close(self) -> None:
        """Let the executor go; launches end or go on as its kind of launch does."""
        if self._watch is not None:
            self._watch.cancel()
            with suppress(asyncio.CancelledError):
                await self._watch
        await self._executor.close()

    async def retire(self, sweep: str) -> bool:
        """End what a sweep that has ended left running, then free what its launches shared.

        Launches are left where a controller died of an error, or the server with it. They get
        their grace, so this is to be called again until it says true.
        """
        await self._board.synced()
        if sweep in self._running:
            return False
        jobs = self._board.jobs(sweep)
        for key, job in jobs.items():
            if job.phase in (JobPhase.SUCCEEDED, JobPhase.FAILED):
                await self._board.clean(key)
            elif key not in self._unwanted:
                self._unwanted.add(key)
                await self._board.stop(key)
        if jobs:
            return False
        self._unwanted = {key for key in self._unwanted if key.sweep != sweep}
        await self._board.retire(sweep)
        return True

    def _waiting_changed(self, sweep: str) -> None:
        self._journal.set_waiting(sweep, self._board.waiting(sweep))

    @property
    def executing(self) -> bool:
        """Whether the executor is being followed."""
        return self._watch is not None and not self._watch.done()

    async def run(self, sweep: SweepRow, stage: str) -> dict[str, Any]:
        """See ``supervisor.Runner``."""
        experiment = Experiment.model_validate(sweep.experiment)
        match stage:
            case "sweep":
                return await self._search(sweep)
            case "train":
                return await self._train(sweep, experiment)
            case "evaluate":
                return await self._evaluate(sweep, experiment)
            case "register":
                return await patiently(self._register, sweep)
            case "deploy":
                return await asyncio.to_thread(self._deploy, sweep, experiment)
            case _:
                return await self._launched(sweep, StageOrder(stage=Stage.PREPARE))

    def wake(self, sweep: str) -> None:
        """See ``supervisor.Runner``."""
        if sweep in self._running:
            self._running[sweep].wake()

    async def _search(self, sweep: SweepRow) -> dict[str, Any]:
        controller = (await asyncio.to_thread(_controller_type))(
            sweep=sweep, journal=self._journal, board=self._board, settings=self._settings
        )
        return await self._controlled(sweep, "sweep", controller)

    async def _train(self, sweep: SweepRow, experiment: Experiment) -> dict[str, Any]:
        found = await patiently(handover.winner, self._journal, sweep)
        if handover.is_full_length(experiment, found):
            taken = {"taken_from_trial": found.trial.number}
            return {**outcome_of(found.result), **taken}
        order = StageOrder(
            stage=Stage.TRAIN,
            parameters=found.trial.parameters,
            inputs={"snapshot": await self._outcome(sweep, "prepare", "snapshot")},
            epochs=experiment.train.epochs,
        )
        return await self._launched(sweep, order)

    async def _evaluate(self, sweep: SweepRow, experiment: Experiment) -> dict[str, Any]:
        inputs = await patiently(handover.open_inputs, self._journal, sweep.id, "evaluate")
        if inputs is None:
            inputs = {
                "snapshot": await self._outcome(sweep, "prepare", "snapshot"),
                "model": await self._outcome(sweep, "train", "model"),
            }
            champion = await patiently(
                self._library.champion, experiment.name, experiment.register_.alias
            )
            inputs |= {} if champion is None else {"champion": champion}
        return await self._launched(sweep, StageOrder(stage=Stage.EVALUATE, inputs=inputs))

    async def _outcome(self, sweep: SweepRow, stage: str, key: str) -> str:
        found = await patiently(handover.outcome, self._journal, sweep.id, stage)
        return str(found[key])

    async def _launched(self, sweep: SweepRow, order: StageOrder) -> dict[str, Any]:
        controller = StageController(
            sweep=sweep,
            order=order,
            journal=self._journal,
            board=self._board,
            settings=self._settings,
        )
        return await self._controlled(sweep, order.stage, controller)

    async def _controlled(
        self, sweep: SweepRow, stage: str, controller: Controller
    ) -> dict[str, Any]:
        """Run a controller to its end, which it writes into the journal itself."""
        self._running[sweep.id] = controller
        try:
            finish = await controller.run()
        finally:
            self._running.pop(sweep.id, None)
        if finish.outcome in (Outcome.INTERRUPTED, Outcome.CANCELLED):
            raise Interrupted(f"{stage} of sweep {sweep.id} was {finish.outcome}")
        rows = await patiently(self._journal.stages, sweep.id)
        row = next(row for row in rows if row.stage == stage)
        if row.state is StageState.FAILED:
            raise StageFailed(row.failure or FailureView(category="failed", summary=finish.message))
        return row.outcome

    def _register(self, sweep: SweepRow) -> dict[str, Any]:
        from modelyard.server.registering import candidate_of  # late: see ``Library``

        registered = self._library.register(candidate_of(self._journal, sweep, self._store))
        return {
            "version": registered.version.model_dump(mode="json"),
            "verdict": registered.decision.verdict.value,
            "gap": registered.decision.gap,
            "sentence": registered.decision.sentence,
        }

    def _deploy(self, sweep: SweepRow, experiment: Experiment) -> dict[str, Any]:
        assert experiment.deploy is not None
        serving = self._library.deploy(
            experiment.name,
            experiment.register_.alias,
            port=experiment.deploy.port,
            run=None if sweep.owner is None else sweep.owner.run,
        )
        what = f"{serving.name} version {serving.version}"
        sentence = (
            f"{what} answers at {serving.address}"
            if serving.address
            else f"{what} is {experiment.register_.alias}; serving it from a cluster comes later"
        )
        return {**serving.model_dump(mode="json"), "sentence": sentence}


def _environment(settings: Settings, address: str) -> dict[str, str]:
    """Where launches post. Those of this machine are ours as the server is, and show its own key;
    a cluster's executor gives each sweep's a token of their own."""
    found = {Variable.SERVER.value: address}
    if settings.executor == "local" and settings.api_key is not None:
        found[Variable.TOKEN.value] = settings.api_key.get_secret_value()
    return found


def _controller_type() -> type[SweepController]:
    """Imported late: Optuna takes a second, which the server's start need not wait for."""
    from modelyard.sweep.controller import SweepController

    return SweepController
