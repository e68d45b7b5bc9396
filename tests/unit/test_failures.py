"""The table from evidence to class, and what a trial's launches come to."""

from __future__ import annotations

from dataclasses import replace

import pytest

from modelyard.api import TrialState
from modelyard.contract import Exit, Failure, LaunchKey, Stage, Stop, TrialResult, TrialSpec
from modelyard.executor import Evidence, Job, JobPhase
from modelyard.journal.rows import LaunchRow
from modelyard.sweep.failures import Category, classify
from modelyard.sweep.verdict import verdict
from modelyard.sweep.world import Policy

KEY = LaunchKey(sweep="abcdefgh", task="0", number=1)
ROW = LaunchRow(key=KEY, spec=TrialSpec(key=KEY, stage=Stage.TRIAL, document="d"), created_at=10.0)
POLICY = Policy(trials=1, parallel=1, metrics=("accuracy",), backoff_seconds=2.0)


def job(**evidence: object) -> Job:
    return Job(
        key=KEY,
        spec_digest="d",
        phase=JobPhase.FAILED,
        evidence=Evidence(**evidence),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("seen", "category"),
    [
        ({"exit_code": 0}, Category.INFRASTRUCTURE),
        ({"exit_code": 1}, Category.BUG),
        ({"exit_code": 2}, Category.BUG),
        ({"exit_code": Exit.STOPPED}, Category.PREEMPTED),
        ({"exit_code": Exit.CONFIGURATION}, Category.CONFIGURATION),
        ({"exit_code": Exit.OUT_OF_MEMORY}, Category.OUT_OF_MEMORY),
        ({"exit_code": Exit.DIVERGED}, Category.DIVERGED),
        ({"exit_code": Exit.FENCED}, Category.INFRASTRUCTURE),
        ({"exit_code": 137}, Category.PREEMPTED),
        ({"signal": 9}, Category.PREEMPTED),
        ({"signal": 15}, Category.PREEMPTED),
        ({"signal": 11}, Category.BUG),
        ({"signal": 9, "reason": "MemoryLimit"}, Category.OUT_OF_MEMORY),
        ({"exit_code": 137, "reason": "OOMKilled"}, Category.OUT_OF_MEMORY),
        ({"reason": "ForkServerLost"}, Category.INFRASTRUCTURE),
        ({"exit_code": 143, "reason": "Evicted"}, Category.PREEMPTED),
        ({}, Category.INFRASTRUCTURE),
    ],
)
def test_evidence_has_a_class(seen: dict[str, object], category: Category) -> None:
    """Each row of the table: the backend's reason first, then exit code, then signal."""
    failure = classify(ROW, job(**seen))
    assert failure is not None
    assert failure.category == category
    assert failure.summary


@pytest.mark.parametrize("stop", list(Stop))
def test_a_stop_is_read_before_the_exit_code(stop: Stop) -> None:
    """What a program does after it was told to end says nothing about its trial."""
    failure = classify(replace(ROW, stop=stop), job(exit_code=1))
    assert failure is not None
    assert failure.category == stop.value


def test_an_accepted_result_is_no_failure() -> None:
    """Whatever happened to the process after its result, and whatever it was told, it counts."""
    row = replace(ROW, result=TrialResult(), stop=Stop.PRUNED)
    assert classify(row, job(signal=9)) is None


def test_a_launch_that_ended_with_the_server_is_interrupted() -> None:
    """No job and no Stop: our own server's end took it along, which is not the trial's fault."""
    failure = classify(ROW, None)
    assert failure is not None
    assert failure.category == Category.INTERRUPTED


def test_the_programs_own_words_and_the_traceback_are_kept() -> None:
    """The summary is the program's sentence; traceback, step and log are in the evidence."""
    said = Failure(exit=Exit.DIVERGED, summary="NaN at step 3", detail="Traceback", step=3)
    failure = classify(replace(ROW, said=said), job(exit_code=78, log_tail="last line"))
    assert failure is not None
    assert failure.summary == "NaN at step 3"
    assert failure.evidence == {
        "launch": 1,
        "exit_code": 78,
        "traceback": "Traceback",
        "step": 3,
        "log_tail": "last line",
    }


def test_a_bug_names_the_command_that_shows_it() -> None:
    """The remedy can be pasted."""
    failure = classify(ROW, job(exit_code=1))
    assert failure is not None
    assert failure.resolution == (
        f"`modelyard logs {ROW.key.sweep} {ROW.key.task}` shows its traceback."
    )


def ended(row: LaunchRow, at: float, **seen: object) -> LaunchRow:
    return replace(row, ended_at=at, failure=classify(row, job(**seen)))


def launches(*rows: LaunchRow) -> list[LaunchRow]:
    return [
        replace(row, key=KEY.model_copy(update={"number": number}))
        for number, row in enumerate(rows, start=1)
    ]


def test_three_launches_without_a_newer_checkpoint_are_no_progress() -> None:
    """Preempted three times at the same epoch it fails; with a newer checkpoint it goes on."""
    killed = ended(ROW, 20.0, signal=9)
    found = verdict(launches(killed, killed, killed), POLICY, 0.0)
    assert found is not None
    assert found.failure is not None
    assert (found.state, found.failure.category) == (TrialState.FAILED, "no progress")
    advanced = verdict(launches(killed, killed, replace(killed, checkpoint=4), killed), POLICY, 0.0)
    assert advanced is not None
    assert advanced.relaunch_at == 20.0


def test_infrastructure_is_tried_again_with_a_longer_wait_each_time() -> None:
    """Two seconds after the first, four after the second, and no fourth launch."""
    lost = ended(ROW, 20.0, reason="ForkServerLost")
    waits = [verdict(launches(*[lost] * count), POLICY, 0.0) for count in (1, 2, 3)]
    assert [found.relaunch_at for found in waits if found] == [22.0, 24.0, None]
    assert waits[2] is not None
    assert waits[2].state is TrialState.FAILED


def test_interruptions_never_use_up_launches() -> None:
    """However often its sweep is interrupted, a trial goes on."""
    stopped = ended(replace(ROW, stop=Stop.INTERRUPTED), 20.0, exit_code=75)
    found = verdict(launches(*[stopped] * 10), POLICY, 0.0)
    assert found is not None
    assert found.relaunch_at == 20.0


def test_failures_from_before_a_restart_are_void() -> None:
    """A stage that was started again may have been mended: its old failure stops nothing."""
    wrong = ended(ROW, 20.0, exit_code=76)
    now = verdict(launches(wrong), POLICY, 10.0)
    later = verdict(launches(wrong), POLICY, 30.0)
    assert now is not None
    assert now.stops_sweep
    assert later is not None
    assert later.relaunch_at == 20.0


@pytest.mark.parametrize(
    ("metrics", "category"),
    [({"loss": 0.1}, "bug"), ({"accuracy": float("nan")}, "diverged")],
)
def test_a_result_without_a_finite_objective_is_failed(
    metrics: dict[str, float], category: str
) -> None:
    """A result that lacks the objective, or has NaN for it, is never best."""
    row = replace(ROW, result=TrialResult(metrics=metrics))
    found = verdict([row], POLICY, 0.0)
    assert found is not None
    assert found.failure is not None
    assert (found.state, found.failure.category) == (TrialState.FAILED, category)
