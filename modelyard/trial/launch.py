"""One launch from its first word to its exit code: intake, poster, stage, result."""

from __future__ import annotations

import functools
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import NoReturn

from pydantic import ValidationError

from modelyard.contract import Checkpoint, Document, Exit, Failure, Phase, Stage, TrialResult
from modelyard.errors import Fenced, InputError, ModelyardError, ServerRefused
from modelyard.experiment.model import Experiment
from modelyard.store.folder import FolderStore
from modelyard.store.store import Store, join, store_for
from modelyard.train.errors import Stopped
from modelyard.trial.assignment import Assignment
from modelyard.trial.background import BackgroundCheckpoints, ForegroundCheckpoints, Keeper
from modelyard.trial.checkpoints import Checkpoints, Resumption, newest_whole
from modelyard.trial.facts import peak_memory_bytes, started
from modelyard.trial.failures import failure_of
from modelyard.trial.intake import Intake
from modelyard.trial.output import captured
from modelyard.trial.poster import Poster
from modelyard.trial.reporter import LaunchReporter
from modelyard.trial.spool import Spool
from modelyard.trial.stages import Work, do_stage
from modelyard.trial.stopping import Stopping
from modelyard.trial.termination import write_termination
from modelyard.trial.threads import use_threads

PATIENCE_SECONDS = 60.0
"""How long a server may be away before a launch gives up on its document or its result."""
FAILURE_SECONDS = 10.0
"""The same for a failure, which the exit code tells as well."""
STOPPED_SECONDS = 1.5
"""The same for the last words before a stop: it has to fit into the grace period."""


def carry_out(
    assignment: Assignment,
    stopping: Stopping,
    rehearsed: Document | None = None,
    leave: Callable[[int], NoReturn] = os._exit,
) -> int:
    """Do a launch's work and report it.

    Args:
        assignment: what to do, and where the intake is.
        stopping: installed; says when to end early.
        rehearsed: a document that was fetched ahead, this launch's or another one's.
        leave: ends the process at once with an exit code.

    Returns:
        A code of ``contract.Exit``.
    """
    with Intake(assignment.server, assignment.token) as intake:
        poster = Poster(
            send=functools.partial(intake.post, assignment.spec.key),
            spool=Spool(assignment.scratch / "spool"),
            on_stop=stopping.ask,
            on_end=functools.partial(_unwanted, leave),
        )
        poster.start()
        with captured(poster.log):
            outcome = _try_work(assignment, intake, poster, stopping, rehearsed)
        return _report(assignment, poster, stopping, outcome)


def _try_work(
    assignment: Assignment,
    intake: Intake,
    poster: Poster,
    stopping: Stopping,
    rehearsed: Document | None,
) -> TrialResult | Failure:
    try:
        document = _document(assignment.spec.document, intake, rehearsed)
        return _work(assignment, document, intake, poster, stopping)
    except BaseException as error:  # also a SystemExit of the user's own code
        failure = failure_of(error)
        if failure.exit is Exit.BUG:
            traceback.print_exc()
        else:
            # In full: a summary is cut where much is wrong at once.
            print(error if isinstance(error, ModelyardError) else failure.summary, file=sys.stderr)
        return failure


def _document(digest: str, intake: Intake, rehearsed: Document | None) -> Document:
    if rehearsed is not None and rehearsed.digest == digest:
        return rehearsed
    return intake.document(digest, patience_seconds=PATIENCE_SECONDS)


def _work(
    assignment: Assignment,
    document: Document,
    intake: Intake,
    poster: Poster,
    stopping: Stopping,
) -> TrialResult:
    experiment = experiment_of(document.experiment)
    use_threads(experiment.resources.threads)
    with store_of(assignment, intake, document) as store:
        return _work_in(store, assignment, document, experiment, poster, stopping)


def _work_in(
    store: Store,
    assignment: Assignment,
    document: Document,
    experiment: Experiment,
    poster: Poster,
    stopping: Stopping,
) -> TrialResult:
    spec = assignment.spec
    resumption = Resumption()
    if spec.resume is not None:
        resumption = newest_whole(store, spec.resume, before=spec.key.number)
    poster.post(started(resumption.epoch, experiment, spec.parameters))
    for note in resumption.notes:
        print(note)
    poster.post(Phase(name="loading"))
    begun = time.monotonic()
    task = join(document.store, "sweeps", spec.key.sweep, spec.key.task, str(spec.key.number))
    keeper = _keeper(assignment, store, task, poster)
    folds = spec.stage is Stage.TRIAL and experiment.data.fits > 1
    objective = None if folds else experiment.objective[0]
    result = _kept(
        keeper,
        Work(
            spec=spec,
            experiment=experiment,
            store=store,
            store_base=document.store,
            folder=task,
            scratch=assignment.scratch,
            resumption=resumption,
            code=document.code,
            weights=document.weights,
            reporter=LaunchReporter(poster, stopping, keeper, objective),
        ),
    )
    return result.model_copy(
        update={
            "seconds": time.monotonic() - begun,
            "peak_memory_bytes": peak_memory_bytes(),
        }
    )


@contextmanager
def store_of(assignment: Assignment, intake: Intake, document: Document) -> Iterator[Store]:
    """A folder is reached by everybody; for a bucket launches have no keys."""
    if document.store.startswith("file:"):
        yield store_for(document.store)
        return
    from modelyard.trial.remote_store import RemoteStore

    store = RemoteStore(
        intake=intake,
        key=assignment.spec.key,
        base=document.store,
        shared=() if document.weights is None else (document.weights.uri,),
        cache=assignment.cache,
        scratch=assignment.scratch / "fetched",
    )
    with closing(store):
        yield store


def _keeper(assignment: Assignment, store: Store, task: str, poster: Poster) -> Keeper:
    checkpoints = Checkpoints(store, task)

    def stored(epoch: int, uri: str) -> None:
        poster.post(Checkpoint(epoch=epoch, uri=uri))

    if isinstance(store, FolderStore):
        return ForegroundCheckpoints(checkpoints, stored)
    return BackgroundCheckpoints(checkpoints, assignment.scratch / "leaving", stored)


def _kept(keeper: Keeper, work: Work) -> TrialResult:
    """Do the work; its checkpoints are stored before anybody hears of its end or its stop."""
    try:
        result = do_stage(work)
    except Stopped:
        keeper.finish()
        raise
    keeper.finish()
    return result


def experiment_of(document: dict[str, object]) -> Experiment:
    """The experiment of a document, as this version reads it.

    Raises:
        InputError: it isn't valid here: the server's version is another.
    """
    try:
        return Experiment.model_validate(document)
    except ValidationError as error:
        raise InputError(f"the experiment of this launch is not valid here: {error}") from error


def _report(
    assignment: Assignment, poster: Poster, stopping: Stopping, outcome: TrialResult | Failure
) -> int:
    key, file = assignment.spec.key, assignment.termination
    if isinstance(outcome, TrialResult):
        stopping.finish()
        write_termination(file, key, outcome)
        poster.post(outcome)
        # Unacknowledged it is as if it had been stopped: nothing is wrong with the trial, and
        # the next launch goes on from the last checkpoint.
        return Exit.ACCEPTED if poster.close(PATIENCE_SECONDS) else Exit.STOPPED
    if outcome.exit is Exit.STOPPED:
        poster.close(STOPPED_SECONDS)
        return outcome.exit
    write_termination(file, key, outcome)
    poster.post(outcome)
    poster.close(FAILURE_SECONDS)
    return outcome.exit


def _unwanted(leave: Callable[[int], NoReturn], error: Fenced | ServerRefused) -> None:
    """The intake wants no more of this launch: end, whatever goes on. Poster's thread."""
    print(error, file=sys.__stderr__, flush=True)
    leave(Exit.FENCED if isinstance(error, Fenced) else Exit.CONFIGURATION)
