"""The journal as the running server holds it: with a bell, and with what must answer at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modelyard.api import FailureView, Owner, SweepRequest
from modelyard.contract import (
    Batch,
    Document,
    LaunchKey,
    Log,
    Metrics,
    Phase,
    Progress,
    Started,
    Stop,
)
from modelyard.journal.database import Database
from modelyard.journal.journal import Journal
from modelyard.journal.rows import StageRow, SweepRow, TrialRow
from modelyard.server.changes import Changes

UNHURRIED = (Started, Phase, Progress, Log)
"""What a controller only takes notice of: that a launch lives, and what it is busy with."""


class LiveJournal(Journal):
    """The journal of this server; every change that a view shows rings there.

    It keeps three things in memory, since they change often or answer each post: why launches are
    to stop, the newest metrics of running tasks, and what launches wait for. All are rebuilt by
    what happens next.

    Args:
        database: a migrated database.
        lease_seconds: age at which somebody else's lease is void.
        changes: told after each commit, from whatever thread.
    """

    def __init__(self, database: Database, *, lease_seconds: float, changes: Changes) -> None:
        super().__init__(database, lease_seconds=lease_seconds)
        self._changes = changes
        self._stops: dict[LaunchKey, Stop] = {}
        self._latest: dict[tuple[str, str], Metrics] = {}
        self._waiting: dict[str, Mapping[str, str]] = {}

    def stop_of(self, key: LaunchKey) -> Stop | None:
        """Why a launch is to end, None when it may go on."""
        return self._stops.get(key)

    def latest(self, sweep: str) -> dict[str, Metrics]:
        """The newest metrics of a sweep's tasks that this server has heard from."""
        return {task: m for (of, task), m in tuple(self._latest.items()) if of == sweep}

    def waiting(self, sweep: str) -> Mapping[str, str]:
        """What launches of a sweep wait for, by task, in the scheduler's own words."""
        return self._waiting.get(sweep, {})

    def set_waiting(self, sweep: str, words: Mapping[str, str]) -> None:
        """Other launches wait now, or for something else; rings as what is stored does."""
        if words != self.waiting(sweep):
            self._waiting[sweep] = dict(words)
            self._changes.notify(sweep)

    def remember_stops(self, sweep: str) -> None:
        """Load what an earlier server told launches of this sweep that may still live."""
        for row in self.launches(sweep):
            if row.stop is not None and row.ended_at is None:
                self._stops.setdefault(row.key, row.stop)

    def forget(self, sweep: str) -> None:
        """The sweep has ended: drop what is kept in memory for it."""
        for key in [key for key in self._latest if key[0] == sweep]:
            self._latest.pop(key, None)
        self._waiting.pop(sweep, None)

    def create_sweep(self, sweep: str, request: SweepRequest, document: Document) -> SweepRow:
        """See ``Journal``; it rings."""
        row = super().create_sweep(sweep, request, document)
        self._changes.notify(row.id)
        return row

    def update_sweep(self, sweep: str, **changes: Any) -> SweepRow:
        """See ``Journal``; it rings."""
        row = super().update_sweep(sweep, **changes)
        self._changes.notify(sweep)
        return row

    def await_flow_run(self, sweep: str, deployment: str) -> SweepRow:
        """See ``Journal``; it rings."""
        row = super().await_flow_run(sweep, deployment)
        self._changes.notify(sweep)
        return row

    def set_owner(self, sweep: str, owner: Owner | None, *, before: Owner | None = None) -> None:
        """See ``Journal``; it rings."""
        super().set_owner(sweep, owner, before=before)
        self._changes.notify(sweep)

    def begin_stage(self, sweep: str, stage: str) -> StageRow:
        """See ``Journal``; it rings."""
        row = super().begin_stage(sweep, stage)
        self._changes.notify(sweep)
        return row

    def restart_stage(self, sweep: str, stage: str) -> StageRow:
        """See ``Journal``; it rings."""
        row = super().restart_stage(sweep, stage)
        self._changes.notify(sweep)
        return row

    def end_stage(self, row: StageRow) -> None:
        """See ``Journal``; it rings."""
        super().end_stage(row)
        self._changes.notify(row.sweep)

    def put_trial(self, row: TrialRow) -> None:
        """See ``Journal``; it rings."""
        super().put_trial(row)
        self._changes.notify(row.sweep)

    def set_run(self, sweep: str, number: int, run: str) -> None:
        """See ``Journal``; it rings."""
        super().set_run(sweep, number, run)
        self._changes.notify(sweep)

    def stop_launch(self, key: LaunchKey, reason: Stop) -> None:
        """See ``Journal``; kept for the intake's next answer."""
        super().stop_launch(key, reason)
        self._stops.setdefault(key, reason)

    def end_launch(
        self,
        key: LaunchKey,
        failure: FailureView | None = None,
        *,
        started_at: float | None = None,
    ) -> None:
        """See ``Journal``; it rings, and the intake has no more to answer."""
        super().end_launch(key, failure, started_at=started_at)
        self._stops.pop(key, None)
        self._changes.notify(key.sweep)

    def append(self, batches: Sequence[tuple[LaunchKey, Batch]]) -> list[int | Exception]:
        """See ``Journal``; the newest metrics are kept, and followers are told of the events."""
        answers = super().append(batches)
        for (key, batch), answer in zip(batches, answers, strict=True):
            if not isinstance(answer, Exception):
                self._note(key, batch)
        pressing = {key.sweep for key, batch in batches if _presses(batch)}
        if pressing:
            self._changes.posted(*pressing)
        if others := {key.sweep for key, _ in batches} - pressing:
            self._changes.mentioned(*others)
        return answers

    def _note(self, key: LaunchKey, batch: Batch) -> None:
        for event in batch.events:
            if isinstance(event.body, Metrics):
                self._latest[key.sweep, key.task] = event.body


def _presses(batch: Batch) -> bool:
    """Whether a controller may have something to do at once: report, tell, launch the next."""
    return not all(isinstance(event.body, UNHURRIED) for event in batch.events)
