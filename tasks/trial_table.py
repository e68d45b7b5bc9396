"""A sweep as numbers and rows for an artifact. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from modelyard.api import SweepView, TrialView
from modelyard.report.tables import balance


def progress_of(view: SweepView) -> float:
    """Share of the trials asked for that have ended, in percent."""
    return round(100.0 * min(view.counts.ended, view.total) / max(view.total, 1), 1)


def rows_of(trials: Sequence[TrialView]) -> list[dict[str, Any]]:
    """One row a trial, with a column for each parameter that any of them has.

    Health and total have columns where any of them has some.
    """
    names = sorted({name for trial in trials for name in trial.parameters})
    worth = tuple(dict.fromkeys(name for trial in trials for name in balance(trial)))
    return [
        {
            "trial": trial.number,
            "state": trial.state.value,
            "value": ", ".join(f"{value:.4g}" for value in trial.values),
            **{name: _worth(trial, name) for name in worth},
            "epoch": "" if trial.step is None else f"{trial.step}/{trial.epochs}",
            "seconds": round(trial.seconds, 1),
            **{name: trial.parameters.get(name, "") for name in names},
        }
        for trial in trials
    ]


def _worth(trial: TrialView, name: str) -> str:
    found = balance(trial)
    return f"{found[name]:.4g}" if name in found else ""


def as_json(rows: list[dict[str, Any]]) -> str:
    """Rows as Prefect keeps them in a table artifact: text, in which NaN has no place."""
    return json.dumps(rows, allow_nan=False, default=str)
