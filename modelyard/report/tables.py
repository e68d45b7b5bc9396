"""Tables as plain rows: what a terminal, a file or a page shows of a sweep. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from modelyard.api import GateView, TrialState, TrialView
from modelyard.contract import Scalar
from modelyard.health.scores import HEALTH


@dataclass(frozen=True, kw_only=True)
class Table:
    """A title, the heads of the columns, and rows of texts as long as the heads."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def leaderboard(
    trials: Sequence[TrialView],
    *,
    metric: str,
    goal: Literal["maximize", "minimize"],
    limit: int | None = 5,
) -> Table:
    """The best trials, best first; equal ones by number.

    They stand in the order of their totals where they have some. Health and total are columns
    where a trial has them.

    Args:
        trials: of one sweep; only complete ones are listed.
        metric: the (first) objective's name.
        goal: its good direction.
        limit: how many; None lists all.
    """
    complete = [t for t in trials if t.state is TrialState.COMPLETE and t.values]
    sign = -1.0 if goal == "maximize" else 1.0
    best = sorted(complete, key=lambda t: (_cost(t, sign), t.number))[:limit]
    extra = tuple(dict.fromkeys(name for trial in best for name in balance(trial)))
    names = tuple(dict.fromkeys(name for trial in best for name in trial.parameters))
    return Table(
        title=f"Best {len(best)} of {len(complete)} complete trials",
        columns=("trial", metric, *extra, "epoch", "seconds", *names),
        rows=tuple(_trial(trial, metric, extra, names) for trial in best),
    )


def balance(trial: TrialView) -> dict[str, float]:
    """What a trial is worth besides its metric, as far as it is known: health and total."""
    total = {} if trial.total is None else {"total": trial.total}
    return {**({HEALTH: trial.health[HEALTH]} if HEALTH in trial.health else {}), **total}


def gates(views: Sequence[GateView]) -> Table:
    """Each gate with its limit, value, bound and verdict."""
    return Table(
        title="Gates on the test split",
        columns=("gate", "value", "bound", "verdict"),
        rows=tuple(
            (
                f"{gate.metric} {gate.relation.replace('_', ' ')} {number(gate.limit)}",
                number(gate.value),
                "" if gate.bound is None else f"{number(gate.bound)} at {gate.confidence:.0%}",
                verdict(gate),
            )
            for gate in views
        ),
    )


def verdict(gate: GateView) -> str:
    """A gate's verdict in a word."""
    if gate.passed:
        return "passed"
    return "failed (advisory)" if gate.advisory else "failed"


def confusion(outcome: Mapping[str, Any] | None) -> Table | None:
    """The confusion matrix: true classes down, predicted ones across, with recall at the end.

    Args:
        outcome: ``confusion`` of the stage evaluate: ``classes`` and ``matrix``, whose rows are
            the true classes; None for a regression.
    """
    if not outcome:
        return None
    classes = tuple(str(name) for name in outcome["classes"])
    rows = []
    for index, (name, counts) in enumerate(zip(classes, outcome["matrix"], strict=True)):
        total = sum(counts)
        recall = f"{counts[index] / total:.1%}" if total else ""
        rows.append((name, *(str(count) if count else "·" for count in counts), recall))
    return Table(
        title="Confusion on the test split (true class down, predicted across)",
        columns=("", *classes, "recall"),
        rows=tuple(rows),
    )


def metrics(values: Mapping[str, float]) -> Table:
    """Metrics by name."""
    return Table(
        title="Metrics on the test split",
        columns=("metric", "value"),
        rows=tuple((name, number(value)) for name, value in sorted(values.items())),
    )


def number(value: float) -> str:
    """A number for a table: four digits after the point below 10, else four significant ones
    (0.9722, 12.35, 1.2e-05)."""
    if value != value or value in (float("inf"), float("-inf")):
        return str(value)
    if value == 0 or 0.001 <= abs(value) < 10:
        return f"{value:.4f}"
    return f"{value:.4g}"


def _cost(trial: TrialView, sign: float) -> float:
    return sign * trial.values[0] if trial.total is None else -trial.total


def _trial(
    trial: TrialView, metric: str, extra: Sequence[str], names: Sequence[str]
) -> tuple[str, ...]:
    spread = trial.metrics.get(f"{metric}_std")  # over folds, where there are some
    value, worth = number(trial.values[0]), balance(trial)
    return (
        str(trial.number),
        value if spread is None else f"{value} ± {number(spread)}",
        *(number(worth[name]) if name in worth else "" for name in extra),
        "" if trial.step is None else str(trial.step),
        f"{trial.seconds:.1f}",
        *(_parameter(trial.parameters.get(name)) for name in names),
    )


def _parameter(value: Scalar) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.3g}"
    return str(value)
