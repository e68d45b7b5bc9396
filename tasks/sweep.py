"""Stage sweep: the search, with its progress and its trials as Prefect artifacts."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, cast
from uuid import UUID

import httpx
from prefect import get_client, task
from prefect.artifacts import (
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.actions import ArtifactUpdate
from prefect.exceptions import PrefectException

from modelyard.api import SweepView, TrialView
from modelyard.client import Client
from modelyard.errors import ModelyardError
from modelyard.settings import Settings
from modelyard.tasks.follow import follow
from modelyard.tasks.trial_table import as_json, progress_of, rows_of

LOG = logging.getLogger(__name__)

PROGRESS_SECONDS = 1.0
"""Shortest time between two updates of the progress artifact."""

TABLE_SECONDS = 5.0
"""Shortest time between two updates of the table of trials."""


@task(name="sweep", cache_policy=NO_CACHE, persist_result=False)
def search(sweep: str) -> dict[str, Any]:
    """Run the trials that were asked for; returns the best one.

    The run's artifacts show how far it is and a table of the trials.
    """
    shown = SweepArtifacts(sweep)
    try:
        return follow(sweep, "sweep", lambda view: _unharmed(lambda: shown.update(view)))
    finally:
        _unharmed(shown.finish)


def _unharmed(draw: Callable[[], None]) -> None:
    """Draw; where Prefect or our server is away just then, the run goes on without the picture."""
    try:
        draw()
    except (httpx.HTTPError, PrefectException, ModelyardError) as error:
        LOG.warning("the artifacts of the sweep are not up to date: %s", error)


class SweepArtifacts:
    """The two artifacts of one sweep's task, each updated in place and not too often.

    Args:
        sweep: id of the sweep.
    """

    def __init__(self, sweep: str) -> None:
        self._sweep = sweep
        # Outside an event loop these calls return what they made, and no coroutine.
        self._progress = cast(
            UUID,
            create_progress_artifact(
                progress=0.0, key=f"progress-{sweep}", description="Trials that have ended"
            ),
        )
        self._table = cast(
            UUID, create_table_artifact(table=[], key=f"trials-{sweep}", description="Trials")
        )
        self._said = -1.0
        self._progress_due = self._table_due = 0.0

    def update(self, view: SweepView) -> None:
        """Show the sweep as it is now, unless it was shown just before."""
        now = time.monotonic()
        progress = progress_of(view)
        if progress != self._said and now >= self._progress_due:
            update_progress_artifact(self._progress, progress)
            self._said, self._progress_due = progress, now + PROGRESS_SECONDS
        if now >= self._table_due:
            self._show(_trials(self._sweep))
            self._table_due = now + TABLE_SECONDS

    def finish(self) -> None:
        """Show the last state whatever was shown before."""
        with Client.connect(Settings()) as client:
            view, trials = client.sweep(self._sweep), client.trials(self._sweep)
        update_progress_artifact(self._progress, progress_of(view))
        self._show(trials)

    def _show(self, trials: list[TrialView]) -> None:
        with get_client(sync_client=True) as prefect:
            prefect.update_artifact(self._table, ArtifactUpdate(data=as_json(rows_of(trials))))


def _trials(sweep: str) -> list[TrialView]:
    with Client.connect(Settings()) as client:
        return client.trials(sweep)
