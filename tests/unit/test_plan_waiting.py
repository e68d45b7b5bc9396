"""Launches that wait: what is given up when, and what the trial or the sweep comes to."""

from __future__ import annotations

from dataclasses import replace

import pytest

from modelyard.api import TrialState
from modelyard.contract import LaunchKey, Stage, Stop, TrialResult, TrialSpec
from modelyard.executor import Evidence, Job, JobPhase
from modelyard.journal.rows import LaunchRow
from modelyard.sweep.plan import Plan, plan
from modelyard.sweep.sightings import Sightings
from modelyard.sweep.world import (
    Accept,
    Clean,
    End,
    Halt,
    Launch,
    LaunchView,
    Policy,
    Record,
    TaskView,
    World,
)
from modelyard.trial.termination import Termination

SWEEP = "abcdefgh"
POLICY = Policy(trials=2, parallel=2, metrics=("accuracy",), waiting_seconds=7200.0)
REGISTRY = 'Back-off pulling image "yard/trial:nope": manifest unknown'
SCHEDULER = "0/4 nodes are available: 4 Insufficient nvidia.com/gpu."


def launch(
    reason: str, message: str = "", *, task: str = "0", number: int = 1, since: float = 100.0
) -> LaunchView:
    key = LaunchKey(sweep=SWEEP, task=task, number=number)
    spec = TrialSpec(key=key, stage=Stage.TRIAL, document="d")
    evidence = Evidence(reason=reason, message=message, host="n1")
    return LaunchView(
        row=LaunchRow(key=key, spec=spec, created_at=100.0),
        job=Job(key=key, spec_digest="d", phase=JobPhase.WAITING, evidence=evidence),
        waiting_since=since,
    )


def look(*launches: LaunchView, now: float, ran: bool = False, policy: Policy = POLICY) -> Plan:
    tasks = tuple(
        TaskView(task=one.row.key.task, recorded=TrialState.WAITING, launches=(one,))
        for one in launches
    )
    return plan(World(now=now, started_at=0.0, ran=ran, tasks=tasks), policy)


def ends(found: Plan) -> list[End]:
    return [action for action in found.actions if isinstance(action, End)]


def test_an_image_that_nobody_could_pull_stops_the_sweep_with_one_message() -> None:
    """After a minute: a configuration error, in the registry's words, with what to do."""
    waiting = launch("ImagePull", REGISTRY), launch("Unschedulable", SCHEDULER, task="1")
    found = look(*waiting, now=160.0)
    (end,) = ends(found)
    assert end.failure is not None
    assert end.failure.category == "configuration"
    assert end.failure.summary == f"The image can't be pulled: {REGISTRY}"
    assert "resources.image" in end.failure.resolution
    # The other launch is stopped, and no more is launched.
    assert [a.key.task for a in found.actions if isinstance(a, Halt)] == ["1"]
    assert not any(isinstance(action, Launch) for action in found.actions)


def test_before_the_minute_is_over_the_plan_waits_for_it() -> None:
    """Nothing is ended yet, and the next look is due when the minute is over."""
    found = look(launch("ImagePull", REGISTRY, since=130.0), now=189.0)
    assert ends(found) == []
    assert found.again_at == 190.0


def test_an_image_that_others_pulled_is_the_nodes_fault() -> None:
    """Some launch has run: infrastructure, the next launch follows, and the sweep goes on."""
    (end,) = ends(look(launch("ImagePull", REGISTRY), now=160.0, ran=True))
    assert end.failure is not None
    assert end.failure.category == "infrastructure"
    assert end.failure.evidence["host"] == "n1"
    ended = launch("ImagePull", REGISTRY)
    row = replace(ended.row, ended_at=160.0, failure=end.failure)
    found = look(replace(ended, row=row), now=161.0, ran=True)
    assert [a.number for a in found.actions if isinstance(a, Launch)] == [2]
    assert any(isinstance(action, Clean) for action in found.actions)


@pytest.mark.parametrize("ran", [False, True])
def test_a_missing_secret_is_a_configuration_error(ran: bool) -> None:
    """Whoever else ran: what this launch names isn't there."""
    (end,) = ends(look(launch("Config", 'secret "s" not found'), now=160.0, ran=ran))
    assert end.failure is not None
    assert end.failure.category == "configuration"
    assert 'secret "s" not found' in end.failure.summary


@pytest.mark.parametrize("reason", ["Unschedulable", "QuotaExceeded", "Queued", "FailedCreate"])
def test_a_place_is_waited_for_as_long_as_the_file_says(reason: str) -> None:
    """Then the trial is timed out, and the scheduler's own words are its evidence."""
    assert ends(look(launch(reason, SCHEDULER), now=7299.0)) == []
    (end,) = ends(look(launch(reason, SCHEDULER), now=7300.0))
    assert end.failure is not None
    assert end.failure.category == "timed out"
    assert end.failure.summary == f"It waited longer than 2 h for its place: {SCHEDULER}"
    assert "budget.waiting_hours" in end.failure.resolution


def test_what_is_told_to_stop_is_not_given_up() -> None:
    """A launch with a Stop ends as it was told to, however long it had waited."""
    waiting = launch("ImagePull", REGISTRY)
    stopped = replace(waiting, row=replace(waiting.row, stop=Stop.CANCELLED))
    found = look(stopped, now=1000.0)
    assert ends(found) == []
    assert [action.reason for action in found.actions if isinstance(action, Halt)] == ["cancelled"]


def test_launches_that_wait_count_among_those_at_once() -> None:
    """With two waiting for a quota of two places no third is launched."""
    waiting = launch("QuotaExceeded"), launch("QuotaExceeded", task="1")
    found = look(*waiting, now=101.0, policy=replace(POLICY, trials=5))
    assert not any(isinstance(action, Launch) for action in found.actions)


def test_a_trial_is_running_once_its_launch_is() -> None:
    """While somebody else has to make room it is waiting; a container that starts is running."""
    assert not any(isinstance(a, Record) for a in look(launch("Unschedulable"), now=101.0).actions)
    (record,) = (
        a for a in look(launch("ContainerCreating"), now=101.0).actions if isinstance(a, Record)
    )
    assert record.state is TrialState.RUNNING


def test_patience_begins_anew_with_another_reason() -> None:
    """An hour for a place, then the pull: its minute counts from when the pull was seen."""
    key = LaunchKey(sweep=SWEEP, task="0", number=1)
    job = Job(key=key, spec_digest="d", phase=JobPhase.WAITING)
    sightings = Sightings()
    for now, reason in ((100.0, "Unschedulable"), (3700.0, "ImagePull"), (3730.0, "ImagePull")):
        sightings.see([replace(job, evidence=Evidence(reason=reason))], now)
    assert sightings.waiting_since(key) == 3700.0
    assert not sightings.ran
    sightings.see([replace(job, phase=JobPhase.RUNNING)], 3740.0)
    assert (sightings.running_since(key), sightings.ran) == (3740.0, True)


def message(**more: object) -> Evidence:
    left = {"launch": f"{SWEEP}-0-1", "metrics": {"accuracy": 0.9}, "model": "file:///m", **more}
    return Evidence(exit_code=0, termination=Termination.model_validate(left).model_dump_json())


def over(evidence: Evidence, stage: Stage = Stage.TRIAL) -> LaunchView:
    seen = launch("")
    assert seen.job is not None
    spec = seen.row.spec.model_copy(update={"stage": stage})
    job = replace(seen.job, phase=JobPhase.SUCCEEDED, evidence=evidence)
    return replace(seen, row=replace(seen.row, spec=spec), job=job, running_since=150.0)


def test_a_result_that_only_the_last_message_has_is_accepted() -> None:
    """The intake was away when the trial ended: what it left is its result."""
    found = look(over(message()), now=200.0)
    (accept,) = (action for action in found.actions if isinstance(action, Accept))
    assert accept.result == TrialResult(metrics={"accuracy": 0.9}, model="file:///m")
    assert ends(found) == []


@pytest.mark.parametrize(
    "seen",
    [
        over(message(launch=f"{SWEEP}-0-2")),
        over(message(metrics={"loss": 0.1})),
        over(Evidence(exit_code=0, termination="Traceback (most recent call last)")),
        over(message(), Stage.EVALUATE),
    ],
    ids=["another launch", "without the objective", "no message", "a stage"],
)
def test_other_last_messages_are_no_result(seen: LaunchView) -> None:
    """The launch ended without a result, which is the infrastructure's fault."""
    (end,) = ends(look(seen, now=200.0))
    assert end.failure is not None
    assert end.failure.category == "infrastructure"
    assert end.started_at == 150.0


def test_a_job_that_vanished_ended_even_if_it_was_never_heard() -> None:
    """It was seen to run: its launch is over, and the next gets a number of its own."""
    (end,) = ends(look(replace(launch(""), job=None, running_since=150.0), now=200.0))
    assert end.failure is not None
    assert (end.failure.category, end.key.number) == ("interrupted", 1)
    assert end.failure.summary.startswith("It vanished")


def test_more_launches_than_there_is_room_for_wait_until_there_is() -> None:
    """A crash leaves two rows for one slot, where the end that gave it on was lost: one is made."""
    both = (
        replace(launch("", task="0", number=2), job=None),
        replace(launch("", task="1"), job=None),
    )
    found = look(*both, now=101.0, policy=replace(POLICY, parallel=1))
    assert len([action for action in found.actions if isinstance(action, Launch)]) == 1
    roomy = look(*both, now=101.0)
    assert len([action for action in roomy.actions if isinstance(action, Launch)]) == 2
