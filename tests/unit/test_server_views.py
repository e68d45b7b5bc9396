"""Rows become views: counts, the best trial, the mean and the forecast."""

from __future__ import annotations

from dataclasses import replace

import pytest

from modelyard.api import Desired, StageState, SweepState, SweepView, TrialState
from modelyard.contract import Body, LaunchKey, Log, Metrics, Stage, TrialSpec
from modelyard.journal.rows import EventRow, LaunchRow, StageRow, SweepRow, TrialRow
from modelyard.server import views
from modelyard.server.views import Moment
from tests.unit.serverkit import experiment

SWEEP = "aaaaaaaa"


def sweep(**changes: object) -> SweepRow:
    plain: dict[str, object] = {
        "id": SWEEP,
        "name": "iris",
        "project": "default",
        "experiment": experiment(budget={"trials": 10}),
        "document": "d",
        "state": SweepState.RUNNING,
        "desired": Desired.RUNNING,
        "message": "",
        "created_at": 1000.0,
    }
    return SweepRow(**{**plain, **changes})  # type: ignore[arg-type]


def trial(number: int, state: TrialState, *values: float) -> TrialRow:
    return TrialRow(sweep=SWEEP, number=number, state=state, parameters={}, values=values)


def launch(task: int, begun: float, ended: float | None, number: int = 1) -> LaunchRow:
    key = LaunchKey(sweep=SWEEP, task=str(task), number=number)
    spec = TrialSpec(key=key, stage=Stage.TRIAL, document="d")
    return LaunchRow(key=key, spec=spec, created_at=begun, started_at=begun, ended_at=ended)


def view(
    row: SweepRow, trials: list[TrialRow], launches: list[LaunchRow], now: float = 1100.0
) -> SweepView:
    moment = Moment(trials=trials, launches=launches, now=now)
    return views.sweep_view(row, moment, stages=[], cursor=0)


def test_counts_and_mean_over_trials_that_ran() -> None:
    """Failed trials are counted, and left out of the mean time; launches of a trial add up."""
    trials = [
        trial(0, TrialState.COMPLETE, 0.5),
        trial(1, TrialState.PRUNED),
        trial(2, TrialState.FAILED),
        trial(3, TrialState.RUNNING),
    ]
    launches = [
        launch(0, 1000, 1010),
        launch(0, 1020, 1030, number=2),
        launch(1, 1000, 1010),
        launch(2, 1000, 1001),
        launch(3, 1090, None),
    ]

    seen = view(sweep(), trials, launches)

    assert (seen.counts.complete, seen.counts.pruned, seen.counts.failed) == (1, 1, 1)
    assert (seen.counts.running, seen.counts.ended) == (1, 3)
    assert seen.mean_trial_seconds == pytest.approx(15.0)


def test_forecast_counts_the_real_total() -> None:
    """What running trials still need and what hasn't begun, shared by the places in use."""
    trials = [
        trial(0, TrialState.COMPLETE, 0.5),
        trial(1, TrialState.RUNNING),
        trial(2, TrialState.RUNNING),
    ]
    launches = [launch(0, 1000, 1020), launch(1, 1090, None), launch(2, 1070, None)]

    seen = view(sweep(trials=5), trials, launches)

    # 10 s and 0 s of the running ones, two more of 20 s each, in two places.
    assert seen.total == 5
    assert seen.eta_seconds == pytest.approx(25.0)


def test_no_forecast_before_a_trial_ended() -> None:
    """Nothing tells how long a trial takes, so nothing is said."""
    seen = view(sweep(), [trial(0, TrialState.RUNNING)], [launch(0, 1000, None)])

    assert (seen.mean_trial_seconds, seen.eta_seconds, seen.total) == (None, None, 10)


def test_cancelled_trials_do_not_count() -> None:
    """A cancelled trial leaves its place in the budget open."""
    trials = [trial(0, TrialState.CANCELLED), trial(1, TrialState.COMPLETE, 1.0)]
    launches = [launch(0, 1000, 1001), launch(1, 1000, 1010)]

    assert view(sweep(trials=2), trials, launches).eta_seconds == pytest.approx(10.0)


def test_the_best_of_a_health_aware_sweep_has_the_best_total() -> None:
    """Trials show their health and total, and the best is the one with the best total."""
    trials = [
        replace(trial(0, TrialState.COMPLETE, 0.9), health={"health": 0.1}, total=0.66),
        replace(trial(1, TrialState.COMPLETE, 0.8), health={"health": 0.9}, total=0.83),
    ]

    best = view(sweep(), trials, []).best

    assert best is not None
    assert (best.number, best.values, best.health, best.total) == (1, (0.8,), {"health": 0.9}, 0.83)


@pytest.mark.parametrize(("goal", "best"), [("maximize", 1), ("minimize", 0)])
def test_best_by_the_objectives_goal(goal: str, best: int) -> None:
    """The best trial is the one with the best value in the objective's direction."""
    objective = {"metric": "accuracy" if goal == "maximize" else "log_loss", "goal": goal}
    row = sweep(experiment=experiment(objective=objective))
    trials = [trial(n, TrialState.COMPLETE, value) for n, value in enumerate((0.2, 0.9, 0.5))]

    seen = view(row, trials, [])

    assert seen.best is not None
    assert (seen.best.number, seen.front) == (best, ())


def test_front_of_several_objectives() -> None:
    """With several objectives the trials that no other beats are told."""
    both = [
        {"metric": "accuracy", "goal": "maximize"},
        {"metric": "log_loss", "goal": "minimize"},
    ]
    row = sweep(experiment=experiment(objective=both, search={"pruner": "none"}))
    points = ((0.9, 0.5), (0.8, 0.1), (0.7, 0.6))
    trials = [trial(n, TrialState.COMPLETE, *values) for n, values in enumerate(points)]

    assert view(row, trials, []).front == (0, 1)


def test_time_in_which_a_launch_waited_is_not_the_trials() -> None:
    """An hour in the queue and ten seconds of work are ten seconds, in the mean too."""
    waited = replace(launch(0, 1000, 4610), started_at=4600.0)
    never = replace(launch(1, 1000, None), started_at=None)

    seen = view(
        sweep(),
        [trial(0, TrialState.COMPLETE, 0.5), trial(1, TrialState.WAITING)],
        [waited, never],
        now=5000.0,
    )

    assert seen.mean_trial_seconds == pytest.approx(10.0)
    assert seen.best is not None
    assert seen.best.seconds == pytest.approx(10.0)


def test_what_a_trial_waits_for_is_shown_until_it_ended() -> None:
    """The scheduler's own words; of the sweep stage too while no trial runs."""
    words = {"0": "insufficient nvidia.com/gpu", "1": "old words", "prepare": "exceeded quota"}
    stages = [
        StageRow(sweep=SWEEP, stage=name, state=StageState.RUNNING, started_at=1000.0)
        for name in ("prepare", "sweep")
    ]
    trials = [trial(0, TrialState.WAITING), trial(1, TrialState.COMPLETE, 0.5)]

    def shown(*more: TrialRow) -> SweepView:
        moment = Moment(trials=[*trials, *more], waiting=words, now=1100.0)
        return views.sweep_view(sweep(), moment, stages=stages, cursor=0)

    seen = views.trial_views(sweep(), Moment(trials=trials, waiting=words, now=1100.0))
    assert [one.waiting for one in seen] == [words["0"], ""]
    assert [stage.waiting for stage in shown().stages] == [words["prepare"], words["0"]]
    busy = shown(trial(2, TrialState.RUNNING))
    assert [stage.waiting for stage in busy.stages] == [words["prepare"], ""]


def test_running_trials_show_their_newest_metrics() -> None:
    """What a running trial said last is shown until its result is in."""
    latest = {"0": Metrics(step=3, values={"validation_accuracy": 0.7})}

    running = Moment(trials=[trial(0, TrialState.RUNNING)], latest=latest, now=0.0)
    (seen,) = views.trial_views(sweep(), running)

    assert (seen.metrics, seen.step, seen.epochs) == ({"validation_accuracy": 0.7}, 3, 20)


def test_waiting_trials_are_told_by_reason() -> None:
    """A sweep shows what its trials wait for, each reason once behind how many, most first."""
    rows = [trial(number, TrialState.WAITING) for number in range(3)]
    words = {
        "0": "ImagePull: no such tag",
        "1": "Unschedulable: no GPU",
        "2": "Unschedulable: no GPU",
    }
    seen = views.trial_views(sweep(), Moment(trials=rows, now=0.0, waiting=words))

    assert views.waiting_lines(seen) == (
        "2 trials wait: Unschedulable: no GPU",
        "1 trial waits: ImagePull: no such tag",
    )


def test_an_ended_sweep_stands_still() -> None:
    """Times of an ended sweep and of its stages no longer grow."""
    row = sweep(state=SweepState.COMPLETE, ended_at=1050.0)
    stage = StageRow(
        sweep=SWEEP, stage="prepare", state=StageState.COMPLETE, started_at=1000.0, ended_at=1004.0
    )

    assert view(row, [], [], now=2000.0).seconds == 50.0
    assert view(row, [], [], now=2000.0).eta_seconds is None
    assert views.stage_view(stage, now=2000.0).seconds == 4.0


def test_log_page_passes_over_other_events() -> None:
    """Lines come one by one; the cursor stands behind all that was looked at."""
    key = LaunchKey(sweep=SWEEP, task="0", number=2)
    bodies: tuple[Body, ...] = (Log(lines=("one", "two")), Metrics(step=1, values={}))
    rows = [
        EventRow(id=7 + i, key=key, sequence=1 + i, received_at=5.0, body=body)
        for i, body in enumerate(bodies)
    ]

    page = views.log_page(rows, after=6)

    assert [(line.task, line.launch, line.text) for line in page.lines] == [
        ("0", 2, "one"),
        ("0", 2, "two"),
    ]
    assert page.cursor == 8
    assert views.log_page([], after=6).cursor == 6
