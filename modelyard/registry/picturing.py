"""The pictures of a sweep's model, drawn once and kept with its MLflow run."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path

from modelyard.api import StageState
from modelyard.contract import Metrics, TrialResult
from modelyard.journal.journal import Journal
from modelyard.journal.rows import SweepRow
from modelyard.registry.tracking import Tracking
from modelyard.report.gather import Subject, first_of_each_step, gather, subject_of
from modelyard.store.store import Store, store_for

LOG = logging.getLogger(__name__)

FOLDER, FILE = "pictures", "report.html"
"""Where in the run the page lies."""

PAGE = 5000


class JournalSource:
    """See ``gather.Source``: one sweep of a journal.

    Args:
        journal: read.
        sweep: its id.
    """

    def __init__(self, journal: Journal, sweep: str) -> None:
        self._journal = journal
        self._sweep = sweep
        self._stores: list[Store] = []

    def result(self, task: str) -> TrialResult | None:
        """See ``Source``."""
        launches = self._journal.launches(self._sweep, task)
        return next((one.result for one in launches if one.result is not None), None)

    def metrics(self, task: str) -> Sequence[Metrics]:
        """See ``Source``."""
        return reported(self._journal, self._sweep, task)

    def folder(self, task: str, role: str) -> Path:
        """See ``Source``."""
        result = self.result(task)
        uri = str(result.outcome[role]) if result else ""
        store = store_for(uri)
        self._stores.append(store)  # held, as what it fetched may go with it
        return store.fetch(uri)


def reported(journal: Journal, sweep: str, task: str) -> list[Metrics]:
    """What a task reported, in order of steps."""
    found: list[Metrics] = []
    cursor = 0
    while events := journal.events(cursor, sweep=sweep, task=task, limit=PAGE):
        found += [event.body for event in events if isinstance(event.body, Metrics)]
        cursor = events[-1].id
    return first_of_each_step(found)


def keep_pictures(journal: Journal, tracking: Tracking, sweep: SweepRow, run: str) -> None:
    """Draw the report on a sweep's model and keep it with a run.

    A page that can't be drawn is logged, and costs nothing else.

    Raises:
        Exception: whatever MLflow raised; calling again draws it again.
    """
    with tempfile.TemporaryDirectory(prefix="modelyard-") as scratch:
        file = Path(scratch) / FILE
        try:
            drawn = _draw(journal, sweep, file)
        except Exception as error:
            LOG.warning("no pictures of sweep %s: %s", sweep.id, error, exc_info=True)
            return
        if drawn:
            tracking.log_file(run, file, folder=FOLDER)


def _draw(journal: Journal, sweep: SweepRow, file: Path) -> bool:
    subject = _subject(journal, sweep)
    if subject is None:
        return False
    # Late: plotly takes a second, which the server's start need not wait for.
    from modelyard.report.page import page
    from modelyard.report.pictures import draw

    material = gather(JournalSource(journal, sweep.id), subject)
    file.write_text(page(material, draw(material)), encoding="utf-8")
    return True


def _subject(journal: Journal, sweep: SweepRow) -> Subject | None:
    stages = {
        row.stage: row.outcome
        for row in journal.stages(sweep.id)
        if row.state is StageState.COMPLETE
    }
    return subject_of(sweep.name, sweep.experiment, stages)
