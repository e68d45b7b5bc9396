"""The sampler's memory: an Optuna study, asked and told so that every call can be repeated.

Optuna's ``ask`` on a database isn't atomic: killed half-way it leaves a running trial with part
of its parameters. So parameters are sampled on a mirror in memory and stored whole with one
``add_trial``. Reports and tells go to the mirror first too, where sampler and pruner work; the
database is only written. After a restart the mirror is built from the database.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from time import monotonic
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, create_trial
from optuna.trial import TrialState as OptunaState

from modelyard.api import TrialState
from modelyard.contract import Scalar
from modelyard.experiment.model import Experiment
from modelyard.plugins.loading import guarded
from modelyard.sweep.study_samplers import make_pruner, make_sampler
from modelyard.sweep.study_space import (
    Space,
    distribution,
    grid_of,
    kept_space,
    suggest,
)
from modelyard.sweep.study_storage import add_trials, open_storage, translated

_OUTCOME = "modelyard:outcome"
"""User attribute that holds our own word for a trial's end where Optuna has none for it."""

_QMC_PREFIX = "qmc"
"""Study attributes that say how far a quasi-random sequence has come."""

_STATES = {
    TrialState.COMPLETE: OptunaState.COMPLETE,
    TrialState.PRUNED: OptunaState.PRUNED,
    # Told FAIL, TPE goes on proposing the like; pruned with a violated constraint, it learns.
    TrialState.INFEASIBLE: OptunaState.PRUNED,
    TrialState.FAILED: OptunaState.FAIL,
    TrialState.CANCELLED: OptunaState.FAIL,
}

_PLAIN = {
    OptunaState.COMPLETE: TrialState.COMPLETE,
    OptunaState.PRUNED: TrialState.PRUNED,
    OptunaState.FAIL: TrialState.FAILED,
}
"""What Optuna's state means where our own word isn't stored."""


SAMPLING_SECONDS = 0.1
"""After which no further trial is sampled together with others."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One trial as the study has it.

    Args:
        told: how it ended; None while it is open.
        reported: highest step that was reported, 0 for none.
    """

    number: int
    parameters: dict[str, Scalar]
    told: TrialState | None = None
    reported: int = 0


class SweepStudy:
    """An Optuna study of one sweep. All calls come from one thread.

    Args:
        storage: SQLAlchemy URL of Optuna's database.
        name: the sweep's id.
        experiment: sampler, pruner, objectives, seed and budget.
        space: what is searched, unless the study knows from an earlier start; read from here.

    Raises:
        ModelyardError: from every call, when the database can't be read or written.
    """

    def __init__(self, *, storage: str, name: str, experiment: Experiment, space: Space) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._several = len(experiment.objective) > 1
        directions = [objective.goal for objective in experiment.objective]
        with translated(storage):
            self._storage = open_storage(storage)
            self._study = optuna.create_study(
                storage=self._storage, study_name=name, directions=directions, load_if_exists=True
            )
            stored = self._study.get_trials(deepcopy=False)
            self.space = kept_space(self._study, space)
        self._ids = [trial._trial_id for trial in stored]
        self._attributes = [dict(trial.system_attrs) for trial in stored]
        self._told = [_outcome(trial) for trial in stored]
        self._where = storage
        self._cells = grid_of(experiment, self.space)
        self._plugin = experiment.search.sampler.plugin
        self._broken: Exception | None = None
        self._mirror = optuna.create_study(
            storage=InMemoryStorage(),
            study_name=name,
            directions=directions,
            sampler=make_sampler(
                experiment.search.sampler, seed=experiment.seed, asked=len(stored)
            ),
            pruner=make_pruner(experiment.search.pruner, steps=experiment.trial_steps),
        )
        self._mirror.add_trials(stored)
        self._copy_sequence(self._storage, self._study, self._mirror._storage, self._mirror)

    @property
    def cells(self) -> int | None:
        """Cells that a grid has, at most as many as trials are asked for; None without a grid."""
        return None if self._cells is None else len(self._cells)

    def trials(self) -> list[Asked]:
        """All trials by number."""
        return [self.trial(number) for number in range(len(self._ids))]

    def ask(self, number: int) -> Asked:
        """Sample and store trial ``number``; one that exists is returned as it is.

        Trials are asked for in the order of their numbers.
        """
        return self.ask_several(number, 1)[0]

    def ask_several(self, first: int, most: int) -> list[Asked]:
        """Ask for the trials from ``first`` on: at least one, and no more than ``most``.

        Stored together they take hardly longer than one. A slow sampler gives fewer, for others
        wait for this thread.
        """
        if self._broken is not None:
            raise self._broken
        if first > len(self._ids):
            raise ValueError(f"trial {len(self._ids)} is to be asked for before {first}")
        until = monotonic() + SAMPLING_SECONDS
        sampled = len(self._mirror.get_trials(deepcopy=False))
        while sampled <= first or (sampled < first + most and monotonic() < until):
            try:
                self._sample(sampled)
            except Exception as error:
                # The mirror holds half a trial, which only a new start is rid of.
                self._broken = error
                raise
            sampled += 1
        end = min(sampled, first + most)
        self._store_new(end)
        return [self.trial(number) for number in range(first, end)]

    def trial(self, number: int) -> Asked:
        """One trial."""
        frozen = self._frozen(number)
        return Asked(
            number=number,
            parameters=dict(frozen.params),
            told=self._told[number],
            reported=max(frozen.intermediate_values, default=0),
        )

    def report(self, number: int, values: Sequence[tuple[int, float]]) -> bool:
        """Show (step, value) pairs, oldest first; steps seen before are passed over.

        Returns:
            Whether the pruner wants the trial stopped; never with several objectives.
        """
        prune = False
        for step, value in values:
            if self._told[number] is not None or step <= self.trial(number).reported:
                continue
            with translated(self._where):
                self._storage.set_trial_intermediate_value(self._ids[number], step, value)
            mirror = self._mirror._storage
            mirror.set_trial_intermediate_value(self._frozen(number)._trial_id, step, value)
            if not self._several:
                prune = self._mirror.pruner.prune(self._mirror, self._frozen(number)) or prune
        return prune

    def learn(self, number: int, state: TrialState, values: Sequence[float] = ()) -> None:
        """Let the sampler know how a trial ended, ahead of ``tell``; nothing is stored."""
        if self._frozen(number).state.is_finished():
            return
        if state is TrialState.INFEASIBLE:
            self._violate(number)
        given = list(values) if state is TrialState.COMPLETE else None
        with self._guard(f"learn from trial {number}"):
            self._mirror.tell(number, given, _STATES[state])

    def tell(self, number: int, state: TrialState, values: Sequence[float] = ()) -> None:
        """Tell how a trial ended; it keeps the first end that it was told.

        Args:
            values: one for each objective of a complete trial; else empty.
        """
        if self._told[number] is not None:
            return
        self.learn(number, state, values)
        with translated(self._where):
            self._store_end(number, state)
        self._told[number] = state

    def close(self) -> None:
        """Close the connections of this thread."""
        self._storage.remove_session()
        self._storage.engine.dispose()

    def _frozen(self, number: int) -> FrozenTrial:
        return self._mirror.get_trials(deepcopy=False)[number]

    def _store_new(self, end: int) -> None:
        """Store the trials below a number that aren't stored yet."""
        first = len(self._ids)
        new = [self._frozen(number) for number in range(first, end)]
        if new:
            copies = [_copy(frozen) for frozen in new]
            with translated(self._where):
                self._copy_sequence(self._mirror._storage, self._mirror, self._storage, self._study)
                self._ids += add_trials(self._storage, self._study._study_id, first, copies)
            self._attributes += [dict(frozen.system_attrs) for frozen in new]
            self._told += [None] * len(new)

    def _guard(self, doing: str) -> AbstractContextManager[None]:
        """A plugin's sampler is named where it fails; what Optuna's raise is a bug of ours."""
        if self._plugin is None:
            return nullcontext()
        return guarded(f"the sampler {self._plugin}", doing)

    def _sample(self, number: int) -> None:
        if self._cells is None:
            with self._guard(f"suggest trial {number}"):
                suggest(self._mirror.ask(), self.space)
            return
        cell = self._cells[number]
        self._mirror.add_trial(
            create_trial(
                state=OptunaState.RUNNING,
                params=cell,
                distributions={name: distribution(self.space[name]) for name in cell},
            )
        )

    def _violate(self, number: int) -> None:
        mark = create_trial(state=OptunaState.RUNNING, constraints={"memory": 1.0})
        for key, value in mark.system_attrs.items():
            self._mirror._storage.set_trial_system_attr(self._frozen(number)._trial_id, key, value)

    def _store_end(self, number: int, state: TrialState) -> None:
        frozen, trial_id = self._frozen(number), self._ids[number]
        try:
            for key, value in frozen.system_attrs.items():
                if self._attributes[number].get(key) != value:
                    self._storage.set_trial_system_attr(trial_id, key, value)
            if state is not _PLAIN[frozen.state]:
                self._storage.set_trial_user_attr(trial_id, _OUTCOME, state.value)
            self._storage.set_trial_state_values(trial_id, frozen.state, frozen.values)
        except UpdateFinishedTrialError:
            return  # it was stored, and the answer was lost

    @staticmethod
    def _copy_sequence(source: Any, of: optuna.Study, target: Any, to: optuna.Study) -> None:
        attributes = source.get_study_system_attrs(of._study_id).items()
        state = {key: value for key, value in attributes if key.startswith(_QMC_PREFIX)}
        known = target.get_study_system_attrs(to._study_id) if state else {}
        for key, value in state.items():
            if known.get(key) != value:
                target.set_study_system_attr(to._study_id, key, value)


def _outcome(trial: FrozenTrial) -> TrialState | None:
    if not trial.state.is_finished():
        return None
    if _OUTCOME in trial.user_attrs:
        return TrialState(trial.user_attrs[_OUTCOME])
    return _PLAIN[trial.state]


def _copy(frozen: FrozenTrial) -> FrozenTrial:
    return create_trial(
        state=OptunaState.RUNNING,
        params=frozen.params,
        distributions=frozen.distributions,
        user_attrs=frozen.user_attrs,
        system_attrs=frozen.system_attrs,
    )
