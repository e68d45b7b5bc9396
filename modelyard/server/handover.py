"""What a stage takes from those before it, read from the journal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from modelyard.api import StageState
from modelyard.contract import TrialResult, TrialSpec
from modelyard.errors import ModelyardError
from modelyard.experiment.model import Experiment
from modelyard.journal.rows import SweepRow, TrialRow
from modelyard.models.families import family_named
from modelyard.server import views
from modelyard.server.live import LiveJournal
from modelyard.sweep.winner import choose_winner


@dataclass(frozen=True, kw_only=True)
class Winner:
    """The trial that the model is made from, with its accepted result."""

    trial: TrialRow
    result: TrialResult


def outcome(journal: LiveJournal, sweep: str, stage: str) -> dict[str, Any]:
    """What a complete stage came to.

    Raises:
        ModelyardError: it isn't complete.
    """
    for row in journal.stages(sweep):
        if row.stage == stage and row.state is StageState.COMPLETE:
            return row.outcome
    raise ModelyardError(f"the stage {stage} of sweep {sweep} is not complete")


def accepted(journal: LiveJournal, sweep: str, task: str) -> tuple[TrialSpec, TrialResult]:
    """A task's accepted result, and the spec of the launch that brought it.

    Raises:
        ModelyardError: it has none.
    """
    for launch in journal.launches(sweep, task):
        if launch.result is not None:
            return launch.spec, launch.result
    raise ModelyardError(f"task {task} of sweep {sweep} has no result")


def winner(journal: LiveJournal, row: SweepRow) -> Winner:
    """The best complete trial, see ``choose_winner``.

    Raises:
        ModelyardError: no trial is complete.
    """
    best = choose_winner(journal.trials(row.id), views.objectives(row)).best
    if best is None:
        raise ModelyardError(f"no trial of sweep {row.id} is complete, so there is no model")
    return Winner(trial=best, result=accepted(journal, row.id, str(best.number))[1])


def is_full_length(experiment: Experiment, found: Winner) -> bool:
    """Whether the winner was fitted just as ``train`` would fit it again.

    Seed, data and parameters are the same, so the same length means the same model; a classical
    fit takes no notice of epochs. Folds leave no model, and a sample is less than all data.
    """
    if experiment.data.fits > 1 or experiment.data.sample < 1:
        return False
    if experiment.trial_epochs == experiment.train.epochs:
        return True
    # A result that came by the last message alone doesn't say: then it is fitted again.
    name = found.result.outcome.get("family")
    return name is not None and not family_named(str(name)).network


def open_inputs(journal: LiveJournal, sweep: str, task: str) -> dict[str, str] | None:
    """The inputs of a launch that hasn't ended, None without one.

    A launch is committed before it is started; whoever goes on with it must give it the same
    again, whatever has become champion meanwhile.
    """
    for launch in journal.launches(sweep, task):
        if launch.ended_at is None:
            return launch.spec.inputs
    return None
