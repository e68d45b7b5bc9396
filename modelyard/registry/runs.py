"""What of the journal goes into which MLflow run. One thread's own."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence

from modelyard.api import ENDED, SweepState
from modelyard.code.sending import DIFF, DIFF_TAG
from modelyard.contract import Scalar, Stage, TrialResult
from modelyard.errors import DigestMismatch
from modelyard.evaluate.predictions import FILE as PREDICTIONS
from modelyard.journal.journal import Journal
from modelyard.journal.rows import EventRow, SweepRow, TrialRow
from modelyard.registry.contents import (
    SWEEP_STATUS,
    TRIAL_STATUS,
    end_tags,
    event_points,
    final_metrics,
    plugin_tags,
    sweep_tags,
)
from modelyard.registry.picturing import keep_pictures
from modelyard.registry.tracking import Point, Tracking
from modelyard.store.store import join, store_for

LOG = logging.getLogger(__name__)


class Runs:
    """Finds or makes each run once, and knows which values it holds.

    Args:
        journal: sweeps, trials and stages are read; run ids are kept there.
        tracking: where runs are written.
    """

    def __init__(self, journal: Journal, tracking: Tracking) -> None:
        self._journal = journal
        self._tracking = tracking
        self._parents: dict[str, str] = {}
        self._children: dict[tuple[str, int], str] = {}
        self._found: dict[str, dict[int, str]] = {}
        self._held: dict[str, dict[str, set[int]]] = {}
        self._states: dict[str, SweepState] = {}

    def add_events(self, sweep: str, task: str, events: Iterable[EventRow]) -> None:
        """Write the metrics of one task's events, in their order, and the plugins that took part.

        Steps of trials go to the trial's run, those of stages to the sweep's.
        """
        events = list(events)
        points, tags = list(event_points(task, events)), plugin_tags(events)
        if not points and not tags:
            return
        row = self._journal.sweep(sweep)
        if task == Stage.EVALUATE:
            self._keep_evaluation(row, events)
        if task.isdecimal():
            run = self._child(row, int(task), at=events[0].received_at)
        else:
            run = self._parent(row)
        self._log_new(run, points, tags)

    def end_trial(self, row: TrialRow) -> None:
        """Write a trial's final metrics, values, state and failure, and end its run."""
        sweep = self._journal.sweep(row.sweep)
        now = self._journal.now()
        run = self._child(sweep, row.number, at=now, row=row)
        step = row.step or 0
        points = [Point(key=k, step=step, value=v, at=now) for k, v in final_metrics(row).items()]
        self._log_new(run, points, end_tags(row))
        self._tracking.set_status(run, TRIAL_STATUS.get(row.state, "FAILED"), at=now)
        self._children.pop((row.sweep, row.number), None)
        self._held.pop(run, None)

    def follow_sweep(self, sweep: SweepRow) -> None:
        """Give the parent run the sweep's state, when it changed."""
        if self._states.get(sweep.id) == sweep.state:
            return
        if sweep.state in ENDED:
            self._found.pop(sweep.id, None)
        run = self._parent(sweep)
        tags = {"modelyard.state": str(sweep.state), "modelyard.message": sweep.message}
        if digest := self._data_digest(sweep.id):
            tags["modelyard.data_digest"] = digest
        self._tracking.log(run, tags=tags)
        self._tracking.set_status(run, SWEEP_STATUS[sweep.state], at=sweep.ended_at)
        self._states[sweep.id] = sweep.state

    def leave_sweep(self, sweep: SweepRow) -> None:
        """Don't try this state of this sweep again."""
        self._states[sweep.id] = sweep.state

    def _log_new(self, run: str, points: Sequence[Point], tags: Mapping[str, str]) -> None:
        """Write the points that a run doesn't hold yet."""
        held = self._held.get(run)
        if held is None:
            held = self._held[run] = self._tracking.steps(run)
        new: dict[tuple[str, int], Point] = {}
        for point in points:
            if point.step not in held.get(point.key, ()):
                new.setdefault((point.key, point.step), point)
        try:
            self._tracking.log(run, points=new.values(), tags=tags)
        except Exception:
            self._held.pop(run, None)  # what of it was stored is asked for before the next try
            raise
        for key, step in new:
            held.setdefault(key, set()).add(step)

    def _parent(self, sweep: SweepRow) -> str:
        known = self._parents.get(sweep.id)
        if known is not None:
            return known
        if sweep.run is not None and self._tracking.exists(sweep.run):
            run = sweep.run
        else:
            run = open_sweep_run(self._tracking, sweep)
            self._keep_diff(run, sweep)
            self._journal.update_sweep(sweep.id, run=run)
        self._parents[sweep.id] = run
        return run

    def _keep_diff(self, run: str, sweep: SweepRow) -> None:
        """What the user's own code differs in from its commit, as it was sent, beside the run."""
        digest, document = sweep.tags.get(DIFF_TAG), self._journal.document(sweep.document)
        if digest is None or document is None:
            return
        self._keep_file(
            run, sweep, join(document.store, "uploads", digest), DIFF, "the own code's diff"
        )

    def _keep_evaluation(self, sweep: SweepRow, events: Iterable[EventRow]) -> None:
        """Every prediction on the test split, and the model's pictures, beside the sweep's run."""
        run = self._parent(sweep)
        for event in events:
            if not isinstance(event.body, TrialResult):
                continue
            if uri := event.body.outcome.get("predictions"):
                self._keep_file(run, sweep, str(uri), PREDICTIONS, "the predictions")
            keep_pictures(self._journal, self._tracking, sweep, run)

    def _keep_file(self, run: str, sweep: SweepRow, uri: str, name: str, what: str) -> None:
        """A file of a committed folder, beside a run; without it the run is what it is."""
        store = store_for(uri)  # held, as what it fetched may go with it
        try:
            self._tracking.log_file(run, store.fetch(uri) / name)
        except (FileNotFoundError, DigestMismatch) as error:
            LOG.warning("%s of sweep %s can't be kept with its run: %s", what, sweep.id, error)

    def _child(
        self, sweep: SweepRow, number: int, *, at: float, row: TrialRow | None = None
    ) -> str:
        known = self._children.get((sweep.id, number))
        if known is not None:
            return known
        row = row or self._journal.trial(sweep.id, number)
        if row is not None and row.run is not None and self._tracking.exists(row.run):
            run = row.run
        else:
            run = self._open_child(sweep, number, row.parameters if row else {}, at=at)
        self._children[sweep.id, number] = run
        return run

    def _open_child(
        self, sweep: SweepRow, number: int, parameters: dict[str, Scalar], *, at: float
    ) -> str:
        if sweep.id not in self._found:
            # Some may be unknown to the journal, as a crash lies between MLflow and it.
            self._found[sweep.id] = self._tracking.trial_runs(sweep.id, sweep.project)
        found = self._found[sweep.id]
        if number not in found or not self._tracking.exists(found[number]):
            try:
                found[number] = run = self._make_child(sweep, number, at=at)
            except Exception:
                # It may be there though its answer is lost: the next try has to look for it.
                del self._found[sweep.id]
                raise
            self._held[run] = {}
        self._tracking.log(found[number], params=parameters)
        self._journal.set_run(sweep.id, number, found[number])
        return found.pop(number)

    def _make_child(self, sweep: SweepRow, number: int, *, at: float) -> str:
        tags = sweep_tags(sweep)
        if digest := self._data_digest(sweep.id):
            tags["modelyard.data_digest"] = digest
        return self._tracking.make_trial_run(
            sweep=sweep.id,
            number=number,
            project=sweep.project,
            parent=self._parent(sweep),
            tags=tags,
            at=at,
        )

    def _data_digest(self, sweep: str) -> str | None:
        for row in self._journal.stages(sweep):
            if row.stage == Stage.PREPARE and "digest" in row.outcome:
                return str(row.outcome["digest"])
        return None


def open_sweep_run(tracking: Tracking, sweep: SweepRow) -> str:
    """The parent run of a sweep, found or made, with its experiment as parameters and document."""
    run = tracking.sweep_run(
        sweep=sweep.id,
        name=sweep.name,
        project=sweep.project,
        tags=sweep_tags(sweep),
        at=sweep.created_at,
    )
    experiment = sweep.experiment
    objectives = experiment["objective"]
    tracking.log(
        run,
        params={
            "model": experiment["model"]["family"],
            "trials": experiment["budget"]["trials"],
            "seed": experiment["seed"],
            "objective": ", ".join(f"{o['goal']} {o['metric']}" for o in objectives),
        },
    )
    tracking.log_document(run, "experiment.json", experiment)
    return run
