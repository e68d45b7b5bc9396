"""Writes the journal's events and ends of trials into MLflow, from one thread."""

from __future__ import annotations

from modelyard.journal.journal import Journal
from modelyard.registry.tracking import Tracking


class Recorder:
    """The only writer of MLflow runs.

    Args:
        journal: read by cursor ``recorder``.
        tracking: where it is written to.
    """

    def __init__(self, journal: Journal, tracking: Tracking) -> None:
        self._journal = journal
        self._tracking = tracking

    def start(self) -> None:
        """Start the thread (it opens the tracking store too)."""
        raise NotImplementedError

    def wake(self) -> None:
        """Something new is in the journal; never blocks."""
        raise NotImplementedError

    def stop(self) -> None:
        """Write what is there (5 s at most), then end the thread."""
        raise NotImplementedError
