"""What a controller knows between two looks: launches, steps, and what it has seen and done."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from modelyard.contract import LaunchKey, Metrics
from modelyard.executor import Job
from modelyard.journal.rows import EventRow, LaunchRow, News
from modelyard.sweep.sightings import Sightings
from modelyard.sweep.work import Task
from modelyard.sweep.world import LaunchView, TaskView

AWAY_SECONDS = 2.0
"""A look that comes so much later than it was due wasn't only held up: this process or the whole
machine stood still, or the journal was away. Trials that live are to be heard first."""


class Memory:
    """Makes tasks' views from what journal and executor told. Rebuilt by a controller's start.

    Args:
        metric: key of the Metrics events that are reported; None where none are.

    Attributes:
        cursor: id of the newest event that is known.
        pruned: tasks that the pruner wants stopped.
        signalled: launches that the executor was asked to stop.
        due: when the next look is to come at the latest, by the database's clock; None for any.
    """

    def __init__(self, *, metric: str | None) -> None:
        self.cursor = 0
        self.pruned: set[str] = set()
        self.signalled: set[LaunchKey] = set()
        self.due: float | None = None
        self._metric = metric
        self._rows: dict[str, dict[int, LaunchRow]] = {}
        self._reports: dict[str, dict[int, float]] = {}
        self._settled: dict[str, TaskView] = {}
        self._sightings = Sightings()
        self._heard = False
        self._heard_since: float | None = None

    @property
    def ran(self) -> bool:
        """Whether any launch of the sweep has run, of whichever stage."""
        return self._heard or self._sightings.ran

    def rows(self, task: str) -> Sequence[LaunchRow]:
        """A task's launches, oldest first."""
        return [row for _, row in sorted(self._rows.get(task, {}).items())]

    def learn(self, news: News, jobs: Iterable[Job]) -> None:
        """Take in what is new in the journal, and what the executor sees."""
        late = self.due is not None and news.now > self.due + AWAY_SECONDS
        if self._heard_since is None or late:
            self._heard_since = news.now
        # Nor is a trial silent whose posts the journal refused.
        self._heard_since = max(self._heard_since, news.refused_at)
        for row in news.launches:
            self.keep(row)
        for event in news.events:
            self._note(event)
        self._sightings.see(jobs, news.now)

    def keep(self, row: LaunchRow) -> None:
        """Take in a row, unless what is known is newer than what was read."""
        self._heard = self._heard or row.started_at is not None
        rows = self._rows.setdefault(row.key.task, {})
        known = rows.get(row.key.number)
        if known is not None and known.ended_at is not None:
            return
        if known is not None and known.stop is not None:
            row = replace(row, stop=known.stop, stop_at=known.stop_at)
        rows[row.key.number] = row

    def view(self, task: Task, jobs: Mapping[LaunchKey, Job], *, launching: bool) -> TaskView:
        """A task as it is now; one that is settled is made once."""
        settled = self._settled.get(task.task)
        if settled is not None and not any(one.row.key in jobs for one in settled.launches):
            return settled
        view = self._view(task, jobs, launching)
        if view.settled:
            self._settled[task.task] = view
        return view

    def _note(self, event: EventRow) -> None:
        self.cursor = max(self.cursor, event.id)
        metric = self._metric
        if metric is not None and isinstance(event.body, Metrics) and metric in event.body.values:
            known = self._reports.setdefault(event.key.task, {})
            # The first value of a step stays: a resumed launch repeats what it had done.
            known.setdefault(event.body.step, event.body.values[metric])

    def _view(self, task: Task, jobs: Mapping[LaunchKey, Job], launching: bool) -> TaskView:
        steps = self._reports.get(task.task, {})
        if task.told is not None:
            steps.clear()
        return TaskView(
            task=task.task,
            told=task.told,
            recorded=task.recorded,
            launches=tuple(self._launch(row, jobs.get(row.key)) for row in self.rows(task.task)),
            reports=tuple(sorted(s for s in steps.items() if s[0] > task.reported)),
            prune=task.task in self.pruned,
            launching=launching,
        )

    def _launch(self, row: LaunchRow, job: Job | None) -> LaunchView:
        return LaunchView(
            row=row,
            job=job,
            signalled=row.key in self.signalled,
            waiting_since=self._sightings.waiting_since(row.key),
            running_since=self._sightings.running_since(row.key),
            heard_since=self._heard_since or 0.0,
        )
