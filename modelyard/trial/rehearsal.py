"""What a launch does before its work begins, gone through by a process that waits for one.

A forked process shares its memory with the fork server until it writes to a page, and Python
writes to each object that it looks at. Half of the time that a launch took to begin went there;
most of the rest into fetching its document. Both are done by now where it has been rehearsed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from modelyard.contract import Batch, Document, Phase, Reply, Variable
from modelyard.data.snapshot import open_snapshot
from modelyard.store.store import store_for
from modelyard.trial.assignment import Assignment, read_assignment
from modelyard.trial.intake import Intake
from modelyard.trial.launch import experiment_of
from modelyard.trial.output import captured
from modelyard.trial.poster import Poster
from modelyard.trial.spool import Spool

ANSWER_SECONDS = 1.0
"""How long the server may take: a launch that comes meanwhile waits for the rehearsal."""


def rehearse(environ: Mapping[str, str]) -> Document | None:
    """Go through the first steps of a launch. Nothing is posted.

    What can't be had is left to the launch, which says so. No CUDA call: each launch may see
    other GPUs, and the first call decides.

    Args:
        environ: of a launch like the one that is expected; this process doesn't take it on.

    Returns:
        The document that such launches share; None where it couldn't be had.
    """
    document = None
    try:
        # It writes nothing, so it needs no folder of its own.
        assignment = read_assignment({**environ, Variable.SCRATCH.value: os.curdir})
        with Intake(assignment.server, assignment.token, timeout_seconds=ANSWER_SECONDS) as intake:
            document = intake.document(assignment.spec.document, patience_seconds=0.0)
        _speak()
        _read(assignment, document)
    except Exception as error:
        print(f"a launch was rehearsed in part: {error}", file=sys.stderr, flush=True)
    return document


def _speak() -> None:
    """Events on their way, but for the last step."""

    def send(batch: bytes) -> Reply:
        return Reply(accepted=Batch.model_validate_json(batch).events[-1].sequence)

    poster = Poster(
        send=send, spool=Spool(Path("spool")), on_stop=lambda _: None, on_end=lambda _: None
    )
    poster.start()
    with captured(poster.log):
        poster.post(Phase(name="loading"))
    poster.close(ANSWER_SECONDS)


def _read(assignment: Assignment, document: Document) -> None:
    """The experiment and its snapshot, where that is a folder of this machine.

    No model: a plugin of others is imported by the launch, under whose variables it may choose
    its threads and its device for good.
    """
    experiment_of(document.experiment)
    snapshot = assignment.spec.inputs.get("snapshot", "")
    if snapshot.startswith("file:"):
        open_snapshot(store_for(document.store).fetch(snapshot))
