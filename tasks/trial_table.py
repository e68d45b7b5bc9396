"""A sweep as numbers and rows for an artifact. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from modelyard.api import SweepView, TrialView


def progress_of(view: SweepView) -> float:
    """Share of the trials asked for that have ended, in percent."""
    return round(100.0 * min(view.counts.ended, view.total) / max(view.total, 1), 1)


def rows_of(trials: Sequence[TrialView]) -> list[dict[str, Any]]:
    """One row a trial, with a column for each parameter that any of them has."""
    names = sorted({name for trial in trials for name in trial.parameters})
    return [
        {
            "trial": trial.number,
            "state": trial.state.value,
            "value": ", ".join(f"{value:.4g}" for value in trial.values),
            "epoch": "" if trial.step is None else f"{trial.step}/{trial.epochs}",
            "seconds": round(trial.seconds, 1),
            **{name: trial.parameters.get(name, "") for name in names},
        }
        for trial in trials
    ]


def as_json(rows: list[dict[str, Any]]) -> str:
    """Rows as Prefect keeps them in a table artifact: text, in which NaN has no place."""
    return json.dumps(rows, allow_nan=False, default=str)
