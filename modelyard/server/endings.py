"""How stages and sweeps end in the journal. Each call may be repeated."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol, runtime_checkable

from modelyard.api import Desired, FailureView, StageState, SweepState
from modelyard.errors import InputError, ModelyardError
from modelyard.journal.rows import StageRow, SweepRow
from modelyard.server.live import LiveJournal


@runtime_checkable
class Explained(Protocol):
    """An error that carries its class and evidence."""

    failure: FailureView


def failure_of(error: Exception) -> FailureView:
    """Why a stage failed, as a value."""
    if isinstance(error, Explained):
        return error.failure
    if isinstance(error, InputError):
        return FailureView(category="configuration", summary=str(error))
    if isinstance(error, ModelyardError):
        return FailureView(category="failed", summary=str(error))
    return FailureView(
        category="bug",
        summary=f"{type(error).__name__}: {error}",
        resolution="The server's log has the traceback.",
    )


def stage_ended(journal: LiveJournal, stage: StageRow) -> None:
    """Write a stage's end, and the sweep's where this was its last.

    A sweep that is to stop is left to ``stopped``, unless nothing is left to stop.
    """
    journal.end_stage(stage)
    sweep = journal.sweep(stage.sweep)
    if sweep.state is not SweepState.RUNNING:
        return
    if stage.state is StageState.FAILED:
        if sweep.desired is Desired.RUNNING:
            why = "" if stage.failure is None else f": {stage.failure.summary}"
            _end(journal, sweep, SweepState.FAILED, f"{stage.stage} failed{why}")
    elif stage.stage == "register" and stage.outcome["verdict"] == "rejected":
        _end(journal, sweep, SweepState.REFUSED, stage.outcome["sentence"])
    elif stage.stage == last_stage(sweep):
        _end(journal, sweep, SweepState.COMPLETE, stage.outcome["sentence"])


def stopped(journal: LiveJournal, sweep: str) -> None:
    """The launches of a sweep that somebody wanted to stop have ended."""
    row = journal.sweep(sweep)
    if row.state not in (SweepState.RUNNING, SweepState.INTERRUPTED):
        return
    if row.desired is Desired.CANCELLED:
        failure = FailureView(category="cancelled", summary=row.message or "It was cancelled.")
        for stage in journal.stages(sweep):
            if stage.state is StageState.RUNNING:
                journal.end_stage(replace(stage, state=StageState.FAILED, failure=failure))
        _end(journal, row, SweepState.CANCELLED, row.message)
    elif row.desired is Desired.INTERRUPTED:
        # Whoever lets it go on meanwhile has the last word.
        _end(journal, row, SweepState.INTERRUPTED, row.message, wish=row.desired)


def last_stage(sweep: SweepRow) -> str:
    """The stage after which the experiment has all that it asks for."""
    return "register" if sweep.experiment["deploy"] is None else "deploy"


def _end(
    journal: LiveJournal,
    sweep: SweepRow,
    state: SweepState,
    message: str,
    wish: Desired | None = None,
) -> None:
    if journal.update_sweep(sweep.id, state=state, message=message, wish=wish).state is state:
        journal.forget(sweep.id)
