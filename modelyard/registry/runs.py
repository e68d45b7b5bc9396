"""What of the journal goes into which MLflow run. One thread's own."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence

from modelyard.api import ENDED, SweepState, TrialState
from modelyard.code.sending import DIFF, DIFF_TAG
from modelyard.contract import Metrics, Scalar, Stage, Started, TrialResult
from modelyard.errors import DigestMismatch
from modelyard.evaluate.predictions import FILE as PREDICTIONS
from modelyard.experiment.places import plugin_name
from modelyard.health.scores import HEALTH
from modelyard.journal.journal import Journal
from modelyard.journal.rows import EventRow, SweepRow, TrialRow
from modelyard.plugins.groups import Group
from modelyard.plugins.installed import named
from modelyard.registry.picturing import keep_pictures
from modelyard.registry.tracking import Point, RunStatus, Tracking, permanent
from modelyard.store.store import join, store_for

LOG = logging.getLogger(__name__)

TRIAL_STATUS: dict[TrialState, RunStatus] = {
    TrialState.COMPLETE: "FINISHED",
    TrialState.PRUNED: "KILLED",  # stopped early on purpose; its state is in a tag
    TrialState.CANCELLED: "KILLED",
    TrialState.FAILED: "FAILED",
    TrialState.INFEASIBLE: "FAILED",
}

SWEEP_STATUS: dict[SweepState, RunStatus] = {
    SweepState.RUNNING: "RUNNING",
    SweepState.COMPLETE: "FINISHED",
    SweepState.REFUSED: "FINISHED",  # all was done; a gate said no
    SweepState.FAILED: "FAILED",
    SweepState.CANCELLED: "KILLED",
    SweepState.INTERRUPTED: "KILLED",  # running again when it is continued
}


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
        points, tags = list(_points(task, events)), _plugin_tags(events)
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
        """Write a trial's final metrics, values, state and failure, and end its run.

        Raises:
            Exception: whatever MLflow raised. Where it is permanent, the metrics are written and
                the run is ended all the same, unless it refuses those too.
        """
        sweep = self._journal.sweep(row.sweep)
        now = self._journal.now()
        run = self._child(sweep, row.number, at=now, row=row)
        step = row.step or 0
        points = [Point(key=k, step=step, value=v, at=now) for k, v in _final(row).items()]
        refused: Exception | None = None
        try:
            self._log_new(run, points, _end_tags(row))
        except Exception as error:
            if not permanent(error):
                raise
            refused = error
        self._tracking.set_status(run, TRIAL_STATUS.get(row.state, "FAILED"), at=now)
        self._children.pop((row.sweep, row.number), None)
        self._held.pop(run, None)
        if refused is not None:
            raise refused

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
        """Write the points that a run doesn't hold yet. A tag that MLflow refuses for good is
        raised once they are written without it: one call would take all or none."""
        held = self._held.get(run)
        if held is None:
            held = self._held[run] = self._tracking.steps(run)
        new: dict[tuple[str, int], Point] = {}
        for point in points:
            if point.step not in held.get(point.key, ()):
                new.setdefault((point.key, point.step), point)
        try:
            self._tracking.log(run, points=new.values(), tags=tags)
        except Exception as error:
            self._held.pop(run, None)  # what of it was stored is asked for before the next try
            if tags and permanent(error):
                self._log_new(run, points, {})
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


def sweep_tags(sweep: SweepRow) -> dict[str, str]:
    """Tags that every run of a sweep carries."""
    search = sweep.experiment["search"]
    tags = {
        "modelyard.name": sweep.name,
        "modelyard.sampler": _sampler(search["sampler"]["name"]),
        "modelyard.pruner": search["pruner"]["name"],
        "modelyard.seed": str(sweep.experiment["seed"]),
        **{f"modelyard.{key}": value for key, value in sweep.tags.items()},
    }
    if commit := sweep.tags.get("git_commit"):
        tags["mlflow.source.git.commit"] = commit
    return tags


def _sampler(name: str) -> str:
    """The sampler that this server asks, with its distribution where it is a plugin's."""
    origins = [plugin.origin for plugin in named(Group.SAMPLERS, plugin_name(name) or "")]
    return f"{name} ({origins[0]})" if origins else name


def _plugin_tags(events: Iterable[EventRow]) -> dict[str, str]:
    told = [event.body.plugins for event in events if isinstance(event.body, Started)]
    names = {name: origin for plugins in told for name, origin in plugins.items()}
    text = ", ".join(f"{name}: {origin}" for name, origin in sorted(names.items()))
    return {"modelyard.plugins": text} if text else {}


def _points(task: str, events: Iterable[EventRow]) -> Iterator[Point]:
    """Metrics of a task's steps; of evaluate its result, as ``test_…``."""
    for event in events:
        body = event.body
        if isinstance(body, Metrics):
            for key, value in body.values.items():
                yield Point(key=key, step=body.step, value=value, at=event.received_at)
        elif isinstance(body, TrialResult) and task == Stage.EVALUATE:
            for key, value in body.metrics.items():
                yield Point(key=f"test_{key}", step=0, value=value, at=event.received_at)


def _final(row: TrialRow) -> dict[str, float]:
    names = ["value"] if len(row.values) == 1 else [f"value_{i}" for i in range(len(row.values))]
    totals = {} if row.total is None else {"total": row.total}
    return {
        **row.metrics,
        **dict(zip(names, row.values, strict=True)),
        **{health_metric(name): value for name, value in row.health.items()},
        **totals,
    }


def health_metric(score: str) -> str:
    """A score's name among a run's metrics: ``health_stability``; ``health`` is their mean."""
    return score if score == HEALTH else f"health_{score}"


def _end_tags(row: TrialRow) -> dict[str, str]:
    tags = {"modelyard.state": str(row.state)}
    if row.failure is not None:
        tags["modelyard.failure"] = row.failure.category
        tags["modelyard.failure_summary"] = row.failure.summary
    return tags
