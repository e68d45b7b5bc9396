"""Limits in number and time, and the winner."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest

from modelyard.api import Desired, TrialState
from modelyard.contract import LaunchKey, Stage, Stop, TrialResult, TrialSpec
from modelyard.executor import Capacity, Job, JobPhase
from modelyard.experiment.model import Objective
from modelyard.experiment.resources import Resources
from modelyard.journal.rows import LaunchRow, News, TrialRow
from modelyard.sweep.budget import busy_seconds, crowd_note, overdue, parallel_trials
from modelyard.sweep.memory import Memory
from modelyard.sweep.winner import choose_winner
from modelyard.sweep.work import Task
from modelyard.sweep.world import LaunchView, Policy, TaskView

KEY = LaunchKey(sweep="abcdefgh", task="0", number=1)
SPEC = TrialSpec(key=KEY, stage=Stage.TRIAL, document="d")
ROW = LaunchRow(key=KEY, spec=SPEC, created_at=100.0, started_at=100.0)
POLICY = Policy(trials=1, parallel=1, trial_seconds=5000.0)


@pytest.mark.parametrize(
    ("asked", "cores", "threads", "devices", "gpus", "expected"),
    [
        ("auto", 8, 1, 0, 1, 8),
        ("auto", 8, 3, 0, 1, 2),
        ("auto", 2, 4, 0, 1, 1),
        ("auto", 8, 1, 4, 2, 2),
        ("auto", 8, 1, 4, 0, 8),
        (20, 2, 1, 0, 1, 20),
    ],
)
def test_parallel_fits_the_machine(
    asked: int | str, cores: int, threads: int, devices: int, gpus: int, expected: int
) -> None:
    """auto is cores by threads, or GPUs by GPUs of a trial; a number stands as it is."""
    found = parallel_trials(
        asked, Capacity(cores=cores, devices=devices), threads=threads, gpus=gpus
    )
    assert found == expected


def test_a_crowd_is_said_only_where_there_is_one() -> None:
    """Four trials on two cores are a crowd; one trial with more threads than cores isn't."""
    here = Capacity(cores=2)
    assert crowd_note(2, here, threads=1) is None
    assert crowd_note(1, here, threads=4) is None
    assert crowd_note(4, Capacity(cores=2, slots=10), threads=1) is None
    note = crowd_note(4, here, threads=1)
    assert note is not None
    assert note.startswith("4 trials at once on 2 cores")


@pytest.mark.parametrize(
    ("row", "now", "expected"),
    [
        (ROW, 999.0, None),
        (ROW, 1000.0, Stop.HUNG),
        (replace(ROW, beat_at=200.0, phase="training", phase_steps=True), 320.0, Stop.HUNG),
        (replace(ROW, beat_at=200.0, phase="training", phase_steps=True), 319.0, None),
        (replace(ROW, beat_at=200.0, phase="fitting"), 5099.0, None),
        (replace(ROW, beat_at=200.0, phase="fitting"), 5100.0, Stop.TIMED_OUT),
        (replace(ROW, beat_at=200.0, phase="saving", result=TrialResult()), 230.0, Stop.HUNG),
    ],
)
def test_each_phase_has_its_own_patience(row: LaunchRow, now: float, expected: Stop | None) -> None:
    """900 s while loading, 120 s while training, and without steps only the trial's limit."""
    task = TaskView(task="0", launches=(LaunchView(row=row),))
    assert overdue(task, now, POLICY) is expected


def test_waiting_for_a_place_is_not_silence() -> None:
    """A launch that no process was made for yet isn't hung."""
    waiting = Job(key=KEY, spec_digest="d", phase=JobPhase.WAITING)
    task = TaskView(task="0", launches=(LaunchView(row=ROW, job=waiting),))
    assert overdue(task, 4000.0, POLICY) is None


def test_who_was_away_hears_trials_anew_before_they_count_as_hung() -> None:
    """Silence counts from the first look, and anew from one that came late, as after a sleep."""
    memory, task = Memory(metric=None), Task(task="0")
    row = replace(ROW, beat_at=200.0, phase="training", phase_steps=True)
    late = []
    for due, now in ((None, 1000.0), (1120.0, 1121.0), (1120.0, 4000.0), (4120.0, 4121.0)):
        memory.due = due
        memory.learn(News(now=now, desired=Desired.RUNNING, events=(), launches=(row,)), ())
        late.append(overdue(memory.view(task, {}, launching=False), now, POLICY))

    assert late == [None, Stop.HUNG, None, Stop.HUNG]


def test_time_in_which_the_journal_took_no_posts_is_no_silence() -> None:
    """The patience counts from when it last refused one; one refusal saves nobody for ever."""
    memory, task = Memory(metric=None), Task(task="0")
    row = replace(ROW, beat_at=200.0, phase="training", phase_steps=True)
    found = []
    for now, refused_at in ((200.0, -inf), (320.0, 315.0), (434.0, 315.0), (435.0, 315.0)):
        news = News(
            now=now, refused_at=refused_at, desired=Desired.RUNNING, events=(), launches=(row,)
        )
        memory.learn(news, ())
        found.append(overdue(memory.view(task, {}, launching=False), now, POLICY))

    assert found == [None, None, None, Stop.HUNG]


def test_limits_count_from_when_a_launch_ran() -> None:
    """After hours of waiting it has its whole time and patience, as it does over launches."""
    row = replace(ROW, started_at=None)
    running = Job(key=KEY, spec_digest="d", phase=JobPhase.RUNNING)
    unheard = LaunchView(row=row, job=running, running_since=9000.0)
    assert overdue(TaskView(task="0", launches=(unheard,)), 9899.0, POLICY) is None
    assert overdue(TaskView(task="0", launches=(unheard,)), 9900.0, POLICY) is Stop.HUNG
    fitting = replace(row, started_at=9000.0, beat_at=9000.0, phase="fitting")
    task = TaskView(task="0", launches=(LaunchView(row=fitting, job=running),))
    assert overdue(task, 13999.0, POLICY) is None
    assert overdue(task, 14000.0, POLICY) is Stop.TIMED_OUT
    earlier = LaunchView(row=replace(ROW, started_at=200.0, ended_at=1200.0))
    twice = TaskView(task="0", launches=(earlier, *task.launches))
    assert overdue(twice, 12999.0, POLICY) is None
    assert overdue(twice, 13000.0, POLICY) is Stop.TIMED_OUT


def test_only_time_in_which_trials_ran_is_charged() -> None:
    """Overlapping launches count once, and a night in between not at all."""
    rows = [
        replace(ROW, created_at=begin, ended_at=end)
        for begin, end in ((0.0, 10.0), (5.0, 15.0), (1000.0, 1010.0))
    ]
    assert busy_seconds(rows, 2000.0) == 25.0
    assert busy_seconds([ROW], 130.0) == 30.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [("2Gi", 2**31), ("512Mi", 2**29), ("1.5G", 1_500_000_000), ("1000", 1000), ("1k", 1000)],
)
def test_memory_is_read_as_kubernetes_writes_it(text: str, expected: int) -> None:
    """Binary and decimal units, and plain bytes."""
    assert Resources(memory=text).memory_bytes == expected


def trial(number: int, *values: float, state: TrialState = TrialState.COMPLETE) -> TrialRow:
    return TrialRow(
        sweep="abcdefgh", number=number, state=state, parameters={}, values=tuple(values)
    )


def test_the_winner_is_the_best_complete_trial() -> None:
    """The first of equals wins; what isn't complete never does."""
    trials = [trial(0, 0.5), trial(1, 0.9), trial(2, 0.9), trial(3, state=TrialState.PRUNED)]
    found = choose_winner(trials, [Objective(metric="accuracy")])
    assert (found.best, found.front) == (trials[1], (1,))
    smallest = choose_winner(trials, [Objective(metric="loss", goal="minimize")])
    assert smallest.best == trials[0]
    assert choose_winner(trials[3:], [Objective(metric="accuracy")]).best is None


def test_several_objectives_have_a_front_and_the_first_decides() -> None:
    """The front holds what nothing beats in both; its best by the first objective wins."""
    objectives = [Objective(metric="accuracy"), Objective(metric="loss", goal="minimize")]
    trials = [trial(0, 0.9, 0.5), trial(1, 0.8, 0.2), trial(2, 0.8, 0.4), trial(3, 0.95, 0.9)]
    found = choose_winner(trials, objectives)
    assert found.front == (3, 0, 1)
    assert found.best == trials[3]
