"""What a run holds of a sweep or a trial: the journal's rows as points and tags. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from modelyard.api import SweepState, TrialState
from modelyard.contract import Metrics, Stage, Started, TrialResult
from modelyard.experiment.places import plugin_name
from modelyard.health.scores import HEALTH
from modelyard.journal.rows import EventRow, SweepRow, TrialRow
from modelyard.plugins.groups import Group
from modelyard.plugins.installed import named
from modelyard.registry.tracking import Point, RunStatus

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


def plugin_tags(events: Iterable[EventRow]) -> dict[str, str]:
    """The plugins that took part in a task, with their distributions; empty without any."""
    told = [event.body.plugins for event in events if isinstance(event.body, Started)]
    names = {name: origin for plugins in told for name, origin in plugins.items()}
    text = ", ".join(f"{name}: {origin}" for name, origin in sorted(names.items()))
    return {"modelyard.plugins": text} if text else {}


def event_points(task: str, events: Iterable[EventRow]) -> Iterator[Point]:
    """Metrics of a task's steps; of evaluate its result, as ``test_…``."""
    for event in events:
        body = event.body
        if isinstance(body, Metrics):
            for key, value in body.values.items():
                yield Point(key=key, step=body.step, value=value, at=event.received_at)
        elif isinstance(body, TrialResult) and task == Stage.EVALUATE:
            for key, value in body.metrics.items():
                yield Point(key=f"test_{key}", step=0, value=value, at=event.received_at)


def final_metrics(row: TrialRow) -> dict[str, float]:
    """A trial's metrics, its objectives' values, health scores and weighted total, by name."""
    names = ["value"] if len(row.values) == 1 else [f"value_{i}" for i in range(len(row.values))]
    totals = {} if row.total is None else {"total": row.total}
    return {
        **row.metrics,
        **dict(zip(names, row.values, strict=True)),
        **{_health_metric(name): value for name, value in row.health.items()},
        **totals,
    }


def _health_metric(score: str) -> str:
    """A score's name among a run's metrics: ``health_stability``; ``health`` is their mean."""
    return score if score == HEALTH else f"health_{score}"


def end_tags(row: TrialRow) -> dict[str, str]:
    """A trial's state, and its failure where it has one."""
    tags = {"modelyard.state": str(row.state)}
    if row.failure is not None:
        tags["modelyard.failure"] = row.failure.category
        tags["modelyard.failure_summary"] = row.failure.summary
    return tags
