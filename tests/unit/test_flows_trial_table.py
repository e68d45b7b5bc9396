"""What Prefect's artifacts show of a sweep."""

from __future__ import annotations

import json

import pytest

from modelyard.api import Counts, Desired, SweepState, SweepView, TrialState, TrialView
from modelyard.tasks.trial_table import as_json, progress_of, rows_of


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        (Counts(), 0.0),
        (Counts(running=3, complete=2, pruned=1), 50.0),
        (Counts(complete=6, cancelled=2), 100.0),
    ],
)
def test_progress_is_the_share_of_ended_trials(counts: Counts, expected: float) -> None:
    """Running and cancelled trials don't count, and it never passes 100."""
    view = SweepView(
        id="abcdefgh",
        name="x",
        project="default",
        state=SweepState.RUNNING,
        desired=Desired.RUNNING,
        created_at=0.0,
        total=6,
        counts=counts,
    )

    assert progress_of(view) == expected


def test_every_row_has_every_parameter() -> None:
    """A conditional parameter is an empty cell where it doesn't exist."""
    trials = [
        TrialView(
            number=0,
            state=TrialState.COMPLETE,
            values=(0.98765,),
            step=3,
            epochs=5,
            seconds=1.26,
            parameters={"optimizer": "sgd", "momentum": 0.9},
        ),
        TrialView(number=1, state=TrialState.RUNNING, parameters={"optimizer": "adamw"}),
    ]

    assert json.loads(as_json(rows_of(trials))) == [
        {
            "trial": 0,
            "state": "complete",
            "value": "0.9877",
            "epoch": "3/5",
            "seconds": 1.3,
            "momentum": 0.9,
            "optimizer": "sgd",
        },
        {
            "trial": 1,
            "state": "running",
            "value": "",
            "epoch": "",
            "seconds": 0.0,
            "momentum": "",
            "optimizer": "adamw",
        },
    ]


def test_health_and_total_have_columns_where_there_are_some() -> None:
    """A trial that isn't judged yet has empty cells there."""
    trials = [
        TrialView(
            number=0, state=TrialState.COMPLETE, values=(0.9,), health={"health": 0.5}, total=0.78
        ),
        TrialView(number=1, state=TrialState.RUNNING),
    ]

    assert [(row["health"], row["total"]) for row in rows_of(trials)] == [("0.5", "0.78"), ("", "")]
