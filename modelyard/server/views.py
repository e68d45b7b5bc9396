"""Journal rows become the API's documents. Pure: rows and a time in, views out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from modelyard.api import (
    Counts,
    EventView,
    LogLine,
    LogPage,
    StageState,
    StageView,
    SweepState,
    SweepView,
    TrialState,
    TrialView,
)
from modelyard.contract import Log, Metrics
from modelyard.experiment.model import Objective
from modelyard.journal.rows import EventRow, LaunchRow, StageRow, SweepRow, TrialRow
from modelyard.sweep.winner import choose_winner

RAN = (TrialState.COMPLETE, TrialState.PRUNED)
"""Ends that tell how long a trial takes; failures end at any time."""

OPEN = (TrialState.WAITING, TrialState.RUNNING)


@dataclass(frozen=True, kw_only=True)
class Moment:
    """What is known of a sweep's trials at one moment.

    Args:
        trials: by number.
        launches: of the sweep, stages' too.
        latest: newest metrics of running tasks.
        now: the database's clock.
        waiting: by task, what its launch waits for.
    """

    trials: Sequence[TrialRow]
    launches: Sequence[LaunchRow] = ()
    latest: Mapping[str, Metrics] = field(default_factory=dict)
    now: float
    waiting: Mapping[str, str] = field(default_factory=dict)


def sweep_view(
    row: SweepRow, moment: Moment, *, stages: Sequence[StageRow], cursor: int
) -> SweepView:
    """A sweep with its counts, best trial and forecast.

    Args:
        cursor: id of the newest event.
    """
    views, now = trial_views(row, moment), moment.now
    held = {"sweep": _all_wait(views), **moment.waiting}
    return SweepView(
        id=row.id,
        name=row.name,
        project=row.project,
        state=row.state,
        desired=row.desired,
        message=row.message,
        created_at=row.created_at,
        ended_at=row.ended_at,
        seconds=(row.ended_at or now) - row.created_at,
        notes=row.notes,
        waiting=waiting_lines(views),
        stages=tuple(
            stage_view(stage, now=now, waiting=held.get(stage.stage, "")) for stage in stages
        ),
        flow_run=row.flow_run,
        run=row.run,
        tags=row.tags,
        document=row.document,
        cursor=cursor,
        **_progress(row, views),
        **_results(row, moment.trials, views),
    )


def _progress(row: SweepRow, views: Sequence[TrialView]) -> dict[str, Any]:
    """How far a sweep has come, and its forecast."""
    total = row.trials or row.experiment["budget"]["trials"]
    mean = _mean([view.seconds for view in views if view.state in RAN])
    return {
        "total": total,
        "counts": Counts(**Counter(str(view.state) for view in views)),
        "mean_trial_seconds": mean,
        "eta_seconds": eta(views, total=total, mean=mean) if _going(row) else None,
    }


def _results(
    row: SweepRow, trials: Sequence[TrialRow], views: Sequence[TrialView]
) -> dict[str, Any]:
    """The best trial, and the front of several objectives."""
    wanted = objectives(row)
    winner = choose_winner(trials, wanted)
    number = winner.best.number if winner.best else None
    return {
        "best": next((view for view in views if view.number == number), None),
        "front": winner.front if len(wanted) > 1 else (),
    }


def trial_views(row: SweepRow, moment: Moment) -> list[TrialView]:
    """The trials of a sweep by number."""
    data = row.experiment["data"]
    epochs = row.experiment["search"]["epochs"] or row.experiment["train"]["epochs"]
    fits = data["folds"] * data["repeats"]
    by_task: dict[str, list[LaunchRow]] = {}
    for launch in moment.launches:
        by_task.setdefault(launch.key.task, []).append(launch)
    return [
        _trial_view(
            trial,
            by_task.get(str(trial.number), []),
            moment.latest.get(str(trial.number)),
            moment.waiting.get(str(trial.number), ""),
            epochs=fits if fits > 1 else epochs,
            now=row.ended_at or moment.now,
        )
        for trial in moment.trials
    ]


def waiting_lines(views: Sequence[TrialView]) -> tuple[str, ...]:
    """What trials wait for, each once, the reason of most trials first."""
    counted = Counter(view.waiting for view in views if view.waiting)
    return tuple(
        f"{count} {'trial waits' if count == 1 else 'trials wait'}: {reason}"
        for reason, count in counted.most_common()
    )


def _all_wait(views: Sequence[TrialView]) -> str:
    """What the first trial waits for, when no trial runs."""
    going = [view for view in views if view.state in OPEN]
    words = [view.waiting for view in going if view.waiting]
    running = any(view.state is TrialState.RUNNING and not view.waiting for view in going)
    return words[0] if words and not running else ""


def _trial_view(
    row: TrialRow,
    launches: Sequence[LaunchRow],
    latest: Metrics | None,
    waiting: str,
    *,
    epochs: int,
    now: float,
) -> TrialView:
    live = None if row.metrics else latest
    return TrialView(
        number=row.number,
        state=row.state,
        values=row.values,
        parameters=row.parameters,
        metrics=row.metrics if live is None else live.values,
        health=row.health,
        total=row.total,
        numbers=row.numbers,
        step=row.step if live is None else live.step,
        epochs=epochs,
        seconds=sum(one.ran_seconds(now) for one in launches),
        launches=len(launches),
        run=row.run,
        failure=row.failure,
        waiting=waiting if row.state in OPEN else "",
    )


def stage_view(row: StageRow, *, now: float, waiting: str = "") -> StageView:
    """A stage as far as it has come, and what its launch waits for."""
    return StageView(
        stage=row.stage,
        state=row.state,
        started_at=row.started_at,
        seconds=(row.ended_at or now) - row.started_at,
        waiting=waiting if row.state is StageState.RUNNING else "",
        outcome=row.outcome,
        failure=row.failure,
    )


def event_view(row: EventRow) -> EventView:
    """An event as the stream sends it."""
    return EventView(
        id=row.id,
        sweep=row.key.sweep,
        task=row.key.task,
        launch=row.key.number,
        received_at=row.received_at,
        body=row.body.model_dump(mode="json"),
    )


def log_page(rows: Sequence[EventRow], *, after: int) -> LogPage:
    """The lines among a sweep's events; the cursor passes over what isn't a line."""
    lines = tuple(
        LogLine(at=row.received_at, task=row.key.task, launch=row.key.number, text=text)
        for row in rows
        if isinstance(row.body, Log)
        for text in row.body.lines
    )
    return LogPage(lines=lines, cursor=rows[-1].id if rows else after)


def eta(views: Sequence[TrialView], *, total: int, mean: float | None) -> float | None:
    """Seconds until ``total`` trials have ended, None while no trial tells how long one takes.

    What running trials still need up to the mean, and a mean for each that hasn't begun, shared
    by as many places as run now.
    """
    running = [view.seconds for view in views if view.state is TrialState.RUNNING]
    open_states = (TrialState.RUNNING, TrialState.WAITING, TrialState.CANCELLED)
    left = total - sum(view.state not in open_states for view in views)
    if left <= 0:
        return 0.0
    if mean is None:
        return None
    work = sum(max(0.0, mean - seconds) for seconds in running)
    return (work + max(0, left - len(running)) * mean) / max(1, len(running))


def objectives(row: SweepRow) -> tuple[Objective, ...]:
    """What the sweep's trials are judged by."""
    return tuple(Objective.model_validate(one) for one in row.experiment["objective"])


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _going(row: SweepRow) -> bool:
    return row.state is SweepState.RUNNING
