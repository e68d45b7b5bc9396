"""A sweep in words and short lines, the same for a terminal, a pipe and a log. Pure."""

from __future__ import annotations

from modelyard.api import STAGES, StageState, StageView, SweepState, SweepView
from modelyard.report.tables import balance, number


def duration(seconds: float) -> str:
    """A length of time as people say it: ``3.2 s``, ``2 min 05 s``, ``1 h 02 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def counts(view: SweepView) -> str:
    """Trials by state; states that are rare are named only when there are some."""
    count = view.counts
    always = {
        "running": count.running,
        "complete": count.complete,
        "pruned": count.pruned,
        "failed": count.failed,
    }
    rare = {
        "infeasible": count.infeasible,
        "cancelled": count.cancelled,
    }
    some = {name: value for name, value in rare.items() if value}
    return " · ".join(f"{value} {name}" for name, value in {**always, **some}.items())


def best(view: SweepView, metric: str) -> str:
    """The best trial so far; empty before there is one."""
    if view.best is None or not view.best.values:
        return ""
    # In the mode simple health is a column of the table, and no reason for being the best.
    worth = {} if view.best.total is None else balance(view.best)
    parts = {metric: view.best.values[0], **worth}
    listed = ", ".join(f"{name} {number(part)}" for name, part in parts.items())
    return f"best {listed} (trial {view.best.number})"


def forecast(view: SweepView, *, passed_seconds: float = 0.0) -> str:
    """How long a trial takes, and the rest of all that were asked for.

    Args:
        passed_seconds: since the view was taken.
    """
    if view.mean_trial_seconds is None:
        return ""
    mean = f"a trial takes {duration(view.mean_trial_seconds)}"
    left = 0.0 if view.eta_seconds is None else view.eta_seconds - passed_seconds
    return mean if left <= 0 else f"{mean} · about {duration(left)} to go"


def waiting(view: SweepView) -> list[str]:
    """What trials and stages wait for, in the scheduler's own words."""
    stages = [
        f"{stage.stage} waits: {stage.waiting}"
        for stage in view.stages
        if stage.waiting and not (stage.stage == "sweep" and view.waiting)
    ]
    return [*view.waiting, *stages]


def news(view: SweepView) -> str:
    """Why a sweep that runs stands still or is about to stop; empty while it just goes on."""
    return view.message if view.state is SweepState.RUNNING else ""


def sweep_line(view: SweepView, metric: str) -> str:
    """All of a sweep's progress in one line."""
    parts = (
        f"{view.counts.ended}/{view.total} trials",
        counts(view),
        best(view, metric),
        forecast(view),
    )
    return " · ".join(part for part in parts if part)


def stage_of(view: SweepView, name: str) -> StageView | None:
    """A stage of a sweep, None when it wasn't started."""
    return next((stage for stage in view.stages if stage.stage == name), None)


def stage_line(stage: StageView) -> str:
    """A stage that has ended, with its seconds. Why it failed is said by the sweep's message."""
    if stage.state is StageState.FAILED:
        return f"{stage.stage} failed after {duration(stage.seconds)}"
    return f"{stage.stage} took {duration(stage.seconds)}"


def stage_times(view: SweepView) -> str:
    """The seconds of every stage in a line."""
    done = (stage_of(view, name) for name in STAGES)
    return " · ".join(f"{stage.stage} {duration(stage.seconds)}" for stage in done if stage)
