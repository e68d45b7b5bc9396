"""What is shown of a sweep that waits: for a place in the cluster, or for its flow run."""

from __future__ import annotations

import io

from rich.console import Console

from modelyard.api import StageState, StageView
from modelyard.cli.display import PlainDisplay
from tests.support.cluster_wire import view


def stage(name: str, waiting: str = "") -> StageView:
    return StageView(
        stage=name, state=StageState.RUNNING, started_at=0.0, seconds=1.0, waiting=waiting
    )


def test_each_reason_is_said_once_while_it_lasts() -> None:
    """How many wait changes all the time; the reason is news, and so is its return."""
    text = io.StringIO()
    display = PlainDisplay(Console(file=text, width=200), "accuracy")
    for waiting in (
        ("3 trials wait: Unschedulable: no GPU",),
        ("2 trials wait: Unschedulable: no GPU",),
        ("1 trial waits: ImagePull: no such tag", "1 trial waits: Unschedulable: no GPU"),
        (),
        ("1 trial waits: Unschedulable: no GPU",),
    ):
        display.show(view(waiting=waiting))

    assert text.getvalue().splitlines() == [
        "3 trials wait: Unschedulable: no GPU",
        "1 trial waits: ImagePull: no such tag",
        "1 trial waits: Unschedulable: no GPU",
    ]


def test_a_stage_that_waits_says_for_what() -> None:
    """Of the sweep's own stage the trials speak, where they do."""
    text = io.StringIO()
    display = PlainDisplay(Console(file=text, width=200), "accuracy")
    display.show(view(stages=(stage("prepare", "QuotaExceeded: jobs"),)))
    trials = ("1 trial waits: QuotaExceeded: jobs",)
    display.show(view(stages=(stage("sweep", "QuotaExceeded: jobs"),), waiting=trials))

    lines = [line for line in text.getvalue().splitlines() if "wait" in line]
    assert lines == ["prepare waits: QuotaExceeded: jobs"]


def test_a_run_without_a_flow_run_says_why() -> None:
    """The sweep's message is shown when it changes."""
    text = io.StringIO()
    display = PlainDisplay(Console(file=text, width=200), "accuracy")
    for message in ("No flow run yet: Prefect is away.", "No flow run yet: Prefect is away.", ""):
        display.show(view(message=message))

    assert text.getvalue().splitlines() == ["No flow run yet: Prefect is away."]
