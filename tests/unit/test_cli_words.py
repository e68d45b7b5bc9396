"""A sweep in words, as plain lines, and as the last lines of a run."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from modelyard.api import (
    Counts,
    Desired,
    FailureView,
    RunView,
    ServingView,
    StageState,
    StageView,
    SweepState,
    SweepView,
    TrialState,
    TrialView,
    VersionView,
)
from modelyard.cli import words
from modelyard.cli.display import LiveDisplay, PlainDisplay, display_for
from modelyard.cli.summary import ending, exit_code
from modelyard.cli.terminal import print_table
from modelyard.report.tables import Table


def stage(name: str, state: StageState = StageState.COMPLETE, **more: object) -> StageView:
    return StageView.model_validate(
        {"stage": name, "state": state, "started_at": 0.0, "seconds": 1.5, **more}
    )


def sweep(**more: object) -> SweepView:
    return SweepView.model_validate(
        {
            "id": "abcdefgh",
            "name": "digits",
            "project": "default",
            "state": SweepState.RUNNING,
            "desired": Desired.RUNNING,
            "created_at": 0.0,
            "seconds": 12.0,
            "total": 20,
            **more,
        }
    )


RUNNING = sweep(
    counts=Counts(running=2, complete=9, pruned=3),
    best=TrialView(number=7, state=TrialState.COMPLETE, values=(0.98148,)),
    mean_trial_seconds=2.25,
    eta_seconds=9.4,
    stages=(stage("prepare"), stage("sweep", StageState.RUNNING)),
    notes=("the grid has fewer cells",),
)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.04, "0.0 s"), (59.94, "59.9 s"), (125, "2 min 05 s"), (3720, "1 h 02 min")],
)
def test_a_length_of_time_is_said_as_people_say_it(seconds: float, expected: str) -> None:
    """Seconds, minutes and hours, each as exact as it matters."""
    assert words.duration(seconds) == expected


def test_progress_in_a_line() -> None:
    """Counts by state, the best, a trial's time and the rest of the real total."""
    assert words.sweep_line(RUNNING, "accuracy") == (
        "12/20 trials · 2 running · 9 complete · 3 pruned · 0 failed · "
        "best accuracy 0.9815 (trial 7) · a trial takes 2.2 s · about 9.4 s to go"
    )


def test_the_best_of_a_health_aware_sweep() -> None:
    """Where the total decides, metric, health and total are said; else the metric alone."""
    trial = TrialView(
        number=7, state=TrialState.COMPLETE, values=(0.98,), health={"health": 0.9, "stability": 1}
    )
    assert words.best(sweep(best=trial), "accuracy") == "best accuracy 0.9800 (trial 7)"
    judged = trial.model_copy(update={"total": 0.956})
    assert words.best(sweep(best=judged), "accuracy") == (
        "best accuracy 0.9800, health 0.9000, total 0.9560 (trial 7)"
    )


def test_progress_before_anything_is_known() -> None:
    """What can't be told yet is left out."""
    assert words.sweep_line(sweep(), "accuracy") == (
        "0/20 trials · 0 running · 0 complete · 0 pruned · 0 failed"
    )


def test_rare_states_are_named_when_there_are_some() -> None:
    """Infeasible and cancelled trials show up only where they exist."""
    assert words.counts(sweep(counts=Counts(infeasible=1))).endswith("0 failed · 1 infeasible")


def test_plain_lines_hold_no_control_codes() -> None:
    """A pipe gets each note and stage once, and the last state of the sweep."""
    text = io.StringIO()
    display = display_for(Console(file=text, width=200), "accuracy")
    display.show(RUNNING)
    display.show(RUNNING)
    display.show(RUNNING.model_copy(update={"stages": (stage("prepare"), stage("sweep"))}))
    display.close()

    assert isinstance(display, PlainDisplay)
    assert text.getvalue().splitlines() == [
        "the grid has fewer cells",
        "prepare took 1.5 s",
        words.sweep_line(RUNNING, "accuracy"),
        "sweep took 1.5 s",
    ]


def test_a_terminal_gets_a_picture() -> None:
    """On a terminal every stage is drawn, with the bar and the counts."""
    text = io.StringIO()
    console = Console(file=text, force_terminal=True, width=100, _environ={"TERM": "xterm"})
    display = display_for(console, "accuracy")
    display.show(RUNNING)
    display.close()

    assert isinstance(display, LiveDisplay)
    for word in ("prepare", "deploy", "12/20", "9 complete", "best accuracy 0.9815", "to go"):
        assert word in text.getvalue()


def test_the_end_names_version_gap_address_and_the_line_to_paste() -> None:
    """The last lines of a run hold all that one wants to take along."""
    done = sweep(state=SweepState.COMPLETE, stages=(stage("prepare"),))
    version = VersionView(
        name="digits", version=2, semantic="1.1.0", uri="file:///x", aliases=("champion",), gap=0.01
    )
    serving = ServingView(
        name="digits", version=2, address="http://127.0.0.1:8080", process=1, example="curl …"
    )

    assert ending(RunView(sweep=done, version=version, serving=serving)) == [
        "prepare 1.5 s · total 12.0 s",
        "digits version 2 (1.1.0): champion, +0.0100 against the champion before it",
        "digits version 2 answers at http://127.0.0.1:8080",
        "get a prediction:",
        "curl …",
    ]


def test_a_failure_ends_with_its_remedy() -> None:
    """What failed, why, and what to do."""
    failure = FailureView(category="bug", summary="it broke", resolution="mend it")
    failed = sweep(
        state=SweepState.FAILED,
        message="sweep failed: it broke",
        stages=(stage("sweep", StageState.FAILED, failure=failure),),
    )

    assert ending(RunView(sweep=failed))[1:] == ["failed: sweep failed: it broke", "mend it"]


@pytest.mark.parametrize(
    ("name", "category", "code"),
    [("prepare", "configuration", 2), ("prepare", "bug", 1), ("sweep", "configuration", 1)],
)
def test_what_only_prepare_could_find_wrong_is_bad_input(
    name: str, category: str, code: int
) -> None:
    """Nothing was trained, so the exit code is that of a mistake which the check finds."""
    found = stage(name, StageState.FAILED, failure=FailureView(category=category, summary="no"))

    assert exit_code(sweep(state=SweepState.FAILED, stages=(found,))) == code


def test_a_cluster_says_that_serving_comes_later() -> None:
    """Where nobody serves, the deploy stage's own sentence ends the summary."""
    deployed = stage("deploy", outcome={"sentence": "iris version 3 is champion; later"})
    done = sweep(state=SweepState.COMPLETE, stages=(deployed,))

    assert ending(RunView(sweep=done))[-1] == "iris version 3 is champion; later"


def test_table_columns_of_numbers_stand_to_the_right() -> None:
    """Numbers line up by their last digit, words by their first; no line ends in blanks."""
    text = io.StringIO()
    table = Table(title="T", columns=("name", "n"), rows=(("a", "1"), ("bc", "100")))

    print_table(table, Console(file=text, width=40))

    assert text.getvalue().splitlines() == [
        "",
        "T",
        "name    n",
        "a       1",
        "bc    100",
    ]


def test_nothing_is_left_to_wait_for_at_the_end() -> None:
    """A forecast that has run out isn't told."""
    assert words.forecast(RUNNING, passed_seconds=9.3).endswith("about 0.1 s to go")
    assert words.forecast(RUNNING, passed_seconds=9.5) == "a trial takes 2.2 s"


def test_columns_without_room_stand_below_the_others() -> None:
    """On a narrow terminal no cell is cut: each row goes on below, with its first cell again."""
    text = io.StringIO()
    columns = ("trial", "accuracy", "learning_rate", "depth")
    table = Table(title="T", columns=columns, rows=(("0", "0.9963", "0.00242", "2"),))

    print_table(table, Console(file=text, width=30))

    assert text.getvalue().splitlines() == [
        "",
        "T",
        "trial  accuracy  learning_rate",
        "    0    0.9963        0.00242",
        "",
        "trial  depth",
        "    0      2",
    ]
