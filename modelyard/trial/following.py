"""A process that fits with others of its launch, and reports nothing.

It does what rank 0 does up to the end of the fit. What it would have to say, rank 0 says too;
that it failed, its exit code and its last lines say.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping
from pathlib import Path

from modelyard.contract import Exit
from modelyard.train.reporting import PhaseName, Standing
from modelyard.trial.assignment import Assignment
from modelyard.trial.checkpoints import Resumption, newest_whole
from modelyard.trial.failures import exit_code
from modelyard.trial.intake import Intake
from modelyard.trial.launch import PATIENCE_SECONDS, experiment_of, store_of
from modelyard.trial.peers import watch_parent
from modelyard.trial.stages import Work, follow_stage
from modelyard.trial.threads import use_threads


class Silence:
    """A ``train.reporting.Reporter`` that nobody hears; the stop is rank 0's to ask for."""

    def phase(self, name: PhaseName, steps: bool) -> None:
        """See ``Reporter``."""

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """See ``Reporter``."""

    def progress(self, standing: Standing) -> None:
        """See ``Reporter``."""

    def wants_checkpoint(self) -> bool:
        """Rank 0 writes them."""
        return True

    def checkpoint(self, epoch: int, folder: Path) -> None:
        """See ``Reporter``."""

    def should_stop(self) -> bool:
        """SIGTERM ends this process at once: nothing of it is kept."""
        return False


def follow(assignment: Assignment) -> int:
    """Fit with the others of the launch.

    Args:
        assignment: what to do; that of rank 0.

    Returns:
        A code of ``contract.Exit``; 0 once the fit is done.
    """
    watch_parent()
    try:
        _follow(assignment)
    except BaseException as error:  # also a SystemExit of the user's own code
        traceback.print_exc()
        sys.stderr.flush()
        return exit_code(error)
    return Exit.ACCEPTED


def _follow(assignment: Assignment) -> None:
    spec = assignment.spec
    with Intake(assignment.server, assignment.token) as intake:
        document = intake.document(spec.document, patience_seconds=PATIENCE_SECONDS)
        experiment = experiment_of(document.experiment)
        use_threads(experiment.resources.threads)
        with store_of(assignment, intake, document) as store:
            found = Resumption()
            if spec.resume is not None:
                found = newest_whole(store, spec.resume, before=spec.key.number)
            work = Work(
                spec=spec,
                experiment=experiment,
                store=store,
                store_base=document.store,
                folder="",
                scratch=assignment.scratch,
                resumption=found,
                code=document.code,
                weights=document.weights,
                reporter=Silence(),
            )
            follow_stage(work)
