"""The controller of one sweep: opens study and work, and reconciles them to their end."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from modelyard.contract import Document, LaunchKey, Stage, TrialSpec
from modelyard.data.card import DataCard
from modelyard.experiment.model import Experiment
from modelyard.experiment.search import Parameter
from modelyard.experiment.space import as_written, effective_space
from modelyard.experiment.void import void_note
from modelyard.journal.journal import Journal
from modelyard.journal.rows import SweepRow
from modelyard.models.families import family_named, resolve
from modelyard.models.spaces import suited, why
from modelyard.settings import Settings
from modelyard.sweep.budget import busy_seconds, crowd_note, parallel_trials
from modelyard.sweep.control import Controller
from modelyard.sweep.jobs import JobBoard
from modelyard.sweep.patience import patiently, patiently_in
from modelyard.sweep.reconciler import Boundary
from modelyard.sweep.study import SweepStudy
from modelyard.sweep.trials import TrialWork
from modelyard.sweep.waiting import HOUR
from modelyard.sweep.work import placement_of, resources_of
from modelyard.sweep.world import Finish, Policy

AHEAD_SHARE = 4
"""One trial is asked for ahead for so many that run. Each that is asked ahead was sampled without
the newest results, so it is as few as keep slots filled when several end together; below four
at once none is, and the sampler knows every result that there is."""


class SweepController(Controller):
    """Runs the sweep stage of one sweep; its stage ``prepare`` is complete.

    Args:
        storage: SQLAlchemy URL of Optuna's database; the installation's own when left out.
    """

    def __init__(
        self,
        *,
        sweep: SweepRow,
        journal: Journal,
        board: JobBoard,
        settings: Settings,
        storage: str | None = None,
        boundary: Boundary = lambda _action, _when: None,
    ) -> None:
        super().__init__(
            sweep=sweep, journal=journal, board=board, settings=settings, boundary=boundary
        )
        self._experiment = Experiment.model_validate(sweep.experiment)
        self._storage = storage or settings.study_url

    async def run(self) -> Finish:
        """See ``Controller.run``; the sweep's own state is left to the caller.

        Raises:
            InputError: the experiment asks for what can't be.
        """
        thread = ThreadPoolExecutor(1, thread_name_prefix=f"study-{self._sweep.id}")
        try:
            return await self._run(thread)
        finally:
            # Not waited for: a server that ends must not hang on a slow sampler.
            thread.shutdown(wait=False, cancel_futures=True)

    async def _run(self, thread: ThreadPoolExecutor) -> Finish:
        stages = await self._stages()
        document = await self._document()
        prepared = stages["prepare"].outcome
        # First: while the study is opened there is time to get ready.
        await self._expect(prepared)
        study = await patiently_in(thread, lambda: self._open_study(prepared, document))
        try:
            work = await self._open_work(study, thread, prepared, document)
            return await self._reconcile(work, started_at=stages["sweep"].started_at)
        finally:
            thread.submit(study.close)

    async def _expect(self, prepared: Mapping[str, Any]) -> None:
        """Tell the executor what kind of launches will come."""
        experiment = self._experiment
        spec = TrialSpec(
            key=LaunchKey(sweep=self._sweep.id, task="0", number=1),
            stage=Stage.TRIAL,
            document=self._sweep.document,
            seed=experiment.seed,
            epochs=experiment.trial_epochs,
            inputs=_inputs(prepared),
        )
        resources = resources_of(experiment.resources, self._board.capacity)
        at_once = min(self._parallel, experiment.budget.trials)
        await self._board.expect(spec, resources, placement_of(experiment), at_once)

    def _open_study(self, prepared: Mapping[str, Any], document: Document) -> SweepStudy:
        return SweepStudy(
            storage=self._storage,
            name=self._sweep.id,
            experiment=self._experiment,
            space=space_of(as_written(self._experiment, document.written), prepared),
        )

    async def _open_work(
        self,
        study: SweepStudy,
        thread: ThreadPoolExecutor,
        prepared: Mapping[str, Any],
        document: Document,
    ) -> TrialWork:
        experiment = self._experiment
        policy = await self._policy(study, prepared)
        work = TrialWork(
            sweep=self._sweep,
            experiment=experiment,
            journal=self._journal,
            study=study,
            thread=thread,
            policy=policy,
            resources=resources_of(experiment.resources, self._board.capacity),
            placement=placement_of(experiment),
            inputs=_inputs(prepared),
            store=document.store,
        )
        await work.open()
        return work

    async def _policy(self, study: SweepStudy, prepared: Mapping[str, Any]) -> Policy:
        experiment = self._experiment
        budget, resources = experiment.budget, experiment.resources
        trials = budget.trials if study.cells is None else study.cells
        parallel = self._parallel
        of_space = default_space_note(experiment, study.space, prepared)
        await self._announce(trials, parallel, of_space)
        gpus = resources_of(resources, self._board.capacity).gpus
        return Policy(
            trials=trials,
            parallel=parallel,
            ahead=parallel // AHEAD_SHARE,
            metrics=tuple(objective.metric for objective in experiment.objective),
            overlap=gpus == 0,
            ends_at=await self._ends_at(),
            trial_seconds=None if budget.trial_hours is None else budget.trial_hours * HOUR,
            training_silence_seconds=self._settings.hung_training_seconds,
            loading_silence_seconds=self._settings.hung_loading_seconds,
            waiting_seconds=budget.waiting_hours * HOUR,
            image_pull_seconds=self._settings.image_pull_seconds,
        )

    @property
    def _parallel(self) -> int:
        """Trials at once."""
        wanted = self._experiment
        return parallel_trials(
            wanted.budget.parallel,
            self._board.capacity,
            threads=self._threads,
            gpus=wanted.resources.gpus,
        )

    @property
    def _threads(self) -> int:
        """Of a trial: where there are no nodes, all of its processes are on this machine."""
        wanted = self._experiment.resources
        here = self._board.capacity.slots is None
        return wanted.threads * (wanted.nodes if here else 1)

    async def _announce(self, trials: int, parallel: int, of_space: str | None) -> None:
        wanted = self._experiment.budget.trials
        notes = [] if of_space is None else [of_space]
        if trials < wanted:
            notes.append(f"The grid has {trials} cells: {trials} trials run instead of {wanted}.")
        crowded = crowd_note(parallel, self._board.capacity, threads=self._threads)
        if crowded is not None:
            notes.append(crowded)
        void = void_note(self._experiment)
        if void is not None and self._board.capacity.slots is None:
            notes.append(void)
        await patiently(self._journal.update_sweep, self._sweep.id, trials=trials)
        for note in notes:
            await patiently(self._journal.update_sweep, self._sweep.id, note=note)

    async def _ends_at(self) -> float | None:
        hours = self._experiment.budget.hours
        if hours is None:
            return None
        now = await patiently(self._journal.now)
        rows = await patiently(self._journal.launches, self._sweep.id)
        trials = [row for row in rows if row.key.task.isdigit()]
        return now + hours * HOUR - busy_seconds(trials, now)


def _inputs(prepared: Mapping[str, Any]) -> dict[str, str]:
    """What every trial is given."""
    return {"snapshot": prepared["snapshot"]}


def space_of(experiment: Experiment, prepared: Mapping[str, Any]) -> dict[str, Parameter]:
    """What is searched, as ``modelyard check`` tells it too.

    Args:
        prepared: outcome of the prepare stage; its card decides on the family where the file
            has no space of its own.
    """
    if experiment.search.space is not None:
        return effective_space(experiment, None)
    card = DataCard.model_validate(prepared["card"])
    return effective_space(experiment, suited(family_named(resolve(experiment, card)), card))


def default_space_note(
    experiment: Experiment, space: Mapping[str, Parameter], prepared: Mapping[str, Any]
) -> str | None:
    """Why this family's space is searched and what of it follows the data, where the experiment
    left both to the data; None where it names a space.

    Args:
        space: that is searched.
        prepared: outcome of the prepare stage.
    """
    if experiment.search.space is not None:
        return None
    said = why(experiment, DataCard.model_validate(prepared["card"]), space)
    return f"The default space is searched: {said}."
