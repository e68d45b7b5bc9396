"""The recorder: the journal's events and ends of trials, written into MLflow from one thread.

It reads the journal by a cursor that the journal keeps, so that it loses nothing while MLflow
is away. After a crash between MLflow and cursor the same events come again: a value that a run
holds already for its metric and step is skipped, as are the steps that a resumed attempt
repeats. The first value of a (trial, metric, step) stands.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from itertools import groupby

from modelyard.errors import LeaseLost, ModelyardError
from modelyard.journal.journal import Journal
from modelyard.journal.rows import EventRow
from modelyard.registry.runs import Runs
from modelyard.registry.tracking import Tracking, permanent, said

LOG = logging.getLogger(__name__)

READER = "recorder"
PAGE = 2000
"""Events of one pass."""

IDLE_SECONDS = 2.0
"""Longest wait for a wake; states of sweeps change without events."""

PACE_SECONDS = 0.5
"""Rest between two passes. A pass costs about the same for one event as for fifty, and takes the
interpreter from those who carry events to subscribers; MLflow's readers reload by hand."""

BACKOFF_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


class Recorder:
    """The only writer of MLflow runs.

    Args:
        journal: read by cursor ``recorder``.
        tracking: where it is written to; opened by the thread.
    """

    def __init__(self, journal: Journal, tracking: Tracking) -> None:
        self._journal = journal
        self._tracking = tracking
        self._runs = Runs(journal, tracking)
        self._work = threading.Event()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="recorder", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def load(self) -> None:
        """Import MLflow and open its store; from any thread, and harmless when repeated."""
        self._tracking.open()

    def wake(self) -> None:
        """Something new is in the journal. Never blocks; safe from any thread."""
        self._work.set()

    def stop(self, timeout_seconds: float = 5.0) -> None:
        """Write what there is, for at most so long, and end the thread.

        What is left is written after the next start.
        """
        self._ending.set()
        self._work.set()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)

    def _loop(self) -> None:
        failures = 0
        while True:
            ending = self._ending.is_set()
            self._work.clear()
            try:
                self.catch_up()
            except LeaseLost:
                return
            except Exception as error:
                self._say(error, failures)
                failures += 1
            else:
                if failures:
                    LOG.info("everything is recorded again")
                failures = 0
            if ending:
                return
            self._pause(failures)

    def _pause(self, failures: int) -> None:
        if failures:
            self._ending.wait(BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS)) - 1])
        elif not self._ending.wait(PACE_SECONDS):
            self._work.wait(IDLE_SECONDS)

    def _say(self, error: Exception, failures: int) -> None:
        if failures:
            return
        if isinstance(error, ModelyardError):
            LOG.warning("what is to be recorded can't be read; it is tried again: %s", error)
            return
        LOG.warning(
            "runs can't be written to MLflow at %s; the journal keeps them, and it is tried "
            "again: %s",
            self._tracking.name,
            said(error),
        )

    def catch_up(self) -> None:
        """Write all that the journal holds and MLflow doesn't.

        Raises:
            LeaseLost: another server writes the journal now.
            Exception: whatever MLflow or the database raised; calling again goes on from there.
        """
        while events := self._journal.events(self._journal.get_cursor(READER), limit=PAGE):
            self._record(events)
            self._journal.set_cursor(READER, events[-1].id)
        for row in self._journal.unrecorded():
            try:
                self._runs.end_trial(row)
            except Exception as error:
                self._skip_if_refused(f"the end of trial {row.number} of {row.sweep}", error)
            self._journal.set_recorded(row.sweep, row.number)
        for sweep in self._journal.sweeps():
            try:
                self._runs.follow_sweep(sweep)
            except Exception as error:
                self._skip_if_refused(f"the state of sweep {sweep.id}", error)
                self._runs.leave_sweep(sweep)

    def _record(self, events: Iterable[EventRow]) -> None:
        def task(event: EventRow) -> tuple[str, str]:
            return event.key.sweep, event.key.task

        # Sorting is stable: within a task the order stays that of the commits.
        for (sweep, name), group in groupby(sorted(events, key=task), key=task):
            try:
                self._runs.add_events(sweep, name, list(group))
            except Exception as error:
                self._skip_if_refused(f"events of {sweep}-{name}", error)

    def _skip_if_refused(self, what: str, error: Exception) -> None:
        """Let what MLflow would refuse for ever not hold up the rest."""
        if not permanent(error):
            raise error
        LOG.warning("MLflow refuses %s, which stays in the journal: %s", what, said(error))
