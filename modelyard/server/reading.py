"""Reads views from the journal: which rows a view needs, and one at a time for each sweep."""

from __future__ import annotations

from modelyard.api import LogPage, StageView, SweepView, TrialView
from modelyard.errors import InputError
from modelyard.journal.rows import SweepRow
from modelyard.server import views
from modelyard.server.live import LiveJournal

LOG_EVENTS = 5000
"""Events looked through for one page of lines."""


def sweep(journal: LiveJournal, row: SweepRow) -> SweepView:
    """The view of a sweep as it is now."""
    cursor = journal.cursor()  # first: what comes meanwhile is told again, never left out
    stages = journal.stages(row.id)  # before the clock: nothing began after now
    return views.sweep_view(row, _moment(journal, row.id), stages=stages, cursor=cursor)


def trials(journal: LiveJournal, row: SweepRow) -> list[TrialView]:
    """The trials of a sweep."""
    return views.trial_views(row, _moment(journal, row.id))


def _moment(journal: LiveJournal, sweep: str) -> views.Moment:
    return views.Moment(
        trials=journal.trials(sweep),
        launches=journal.launches(sweep),
        latest=journal.latest(sweep),
        waiting=journal.waiting(sweep),
        now=journal.now(),
    )


def stage(journal: LiveJournal, sweep: str, name: str) -> StageView:
    """One stage.

    Raises:
        InputError: it was never started.
    """
    found = {row.stage: row for row in journal.stages(sweep)}
    if name not in found:
        raise InputError(
            f"the stage {name} of sweep {sweep} was not started; "
            f"started so far: {', '.join(found) or 'none'}"
        )
    waiting = journal.waiting(sweep).get(name, "")
    return views.stage_view(found[name], now=journal.now(), waiting=waiting)


def logs(journal: LiveJournal, sweep: str, task: str | None, after: int) -> LogPage:
    """The next page of lines that a sweep's tasks printed."""
    rows = journal.events(after, sweep=sweep, task=task, limit=LOG_EVENTS)
    return views.log_page(rows, after=after)
