"""The Kubernetes executor over a wire that is cut, too old, busy, or refuses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from modelyard.contract import LaunchKey
from modelyard.executor import AlreadyLaunched, Change, Job, JobPhase, Snapshot
from modelyard.k8s.executor import KubernetesExecutor
from modelyard.k8s.ranks import INDEX_LABEL
from tests.support.k8s_cases import request
from tests.support.kube_wire import CUT, END, TOO_OLD, KubeWire, kube_wire

REQUEST = request()
KEY = REQUEST.spec.key
DIGEST = REQUEST.spec.digest
QUOTA = {"reason": "Forbidden", "message": 'jobs "x" is forbidden: exceeded quota: two'}
NO_RIGHT = {"reason": "Forbidden", "message": "jobs is forbidden: User can't create"}

RUNNING = {"phase": "Running", "containerStatuses": [{"name": "trial", "state": {"running": {}}}]}


def over(code: int, message: str = "") -> dict[str, Any]:
    """Status of a pod whose program has ended."""
    state = {"terminated": {"exitCode": code, "message": message}}
    phase = "Failed" if code else "Succeeded"
    return {"phase": phase, "containerStatuses": [{"name": "trial", "state": state}]}


Story = Callable[[KubeWire, KubernetesExecutor], Awaitable[None]]


def play(story: Story, slept: list[float] | None = None) -> None:
    """Run a story over a wire of its own, not for ever."""

    async def whole() -> None:
        async with asyncio.timeout(120), kube_wire(slept) as (wire, executor):
            await story(wire, executor)

    asyncio.run(whole())


async def until(
    watch: AsyncIterator[Snapshot | Change], goal: Callable[[Snapshot | Change], bool]
) -> Snapshot | Change:
    """The next item that is as wanted."""
    async for item in watch:
        if goal(item):
            return item
    raise AssertionError("the watch ended")


def phase(wanted: JobPhase, reason: str | None = None) -> Callable[[Snapshot | Change], bool]:
    """A change to a phase, with a reason where one is named."""

    def is_it(item: Snapshot | Change) -> bool:
        return (
            isinstance(item, Change)
            and item.job.phase is wanted
            and reason in (None, item.job.evidence.reason)
        )

    return is_it


def job_in(item: Snapshot | Change, key: LaunchKey = KEY) -> Job:
    """The launch's job in a snapshot or change."""
    jobs = item.jobs if isinstance(item, Snapshot) else (item.job,)
    (job,) = (one for one in jobs if one.key == key)
    return job


def again(item: Snapshot | Change) -> bool:
    """A snapshot: there was a gap."""
    return isinstance(item, Snapshot)


@pytest.mark.parametrize("fault", [CUT, TOO_OLD], ids=["cut", "410"])
def test_what_happened_in_a_gap_is_seen(fault: Any) -> None:
    """A watch that is cut or too old is begun with a new list, and nothing is missed."""

    async def story(wire: KubeWire, executor: KubernetesExecutor) -> None:
        job = wire.put("jobs", wire.job(KEY, DIGEST))
        wire.put("pods", wire.pod(job, **RUNNING))
        async with aclosing(executor.watch()) as watch:
            before = job_in(await anext(watch))
            wire.put("pods", wire.pod(job, **over(0)))
            wire.watches["pods"].put_nowait(fault)
            after = job_in(await until(watch, again))
        assert (before.phase, after.phase) == (JobPhase.RUNNING, JobPhase.SUCCEEDED)
        assert wire.count("GET", "pods", watch=False) == 2

    play(story)


def test_a_watch_that_ends_cleanly_goes_on_where_it_was() -> None:
    """The version of the last bookmark is where the next watch starts; nothing is listed again."""

    async def story(wire: KubeWire, executor: KubernetesExecutor) -> None:
        job = wire.put("jobs", wire.job(KEY, DIGEST))
        async with aclosing(executor.watch()) as watch:
            await anext(watch)
            wire.bookmark("pods", "777")
            wire.watches["pods"].put_nowait(END)
            wire.tell("pods", "ADDED", wire.pod(job, **RUNNING))
            await until(watch, phase(JobPhase.RUNNING))
        begun = [q["resourceVersion"] for m, k, q in wire.asked if k == "pods" and "watch" in q]
        assert begun[1:] == ["777"]
        assert wire.count("GET", "pods", watch=False) == 1

    play(story)


def test_a_job_younger_than_the_list_is_not_lost() -> None:
    """A list that was read before the Job was made doesn't make it gone."""

    async def story(wire: KubeWire, executor: KubernetesExecutor) -> None:
        async with aclosing(executor.watch()) as watch:
            await anext(watch)
            wire.held["jobs"] = asyncio.Event()
            wire.watches["jobs"].put_nowait(CUT)
            await wire.until_asked("GET", "jobs", 2)
            await executor.launch((REQUEST,))
            wire.held["jobs"].set()
            assert job_in(await until(watch, again)).phase is JobPhase.WAITING

    play(story)


def test_busy_servers_are_asked_again_when_they_say() -> None:
    """429 and 503 are repeated, not sooner than Retry-After; so is a collision at a quota."""
    slept: list[float] = []

    async def story(wire: KubeWire, executor: KubernetesExecutor) -> None:
        wire.refusals["POST", "jobs"].extend(
            [
                (429, {"message": "slow down"}, {"Retry-After": "7"}),
                (503, {"message": "away"}, {}),
                (409, {"reason": "Conflict", "message": "quota changed"}, {}),
            ]
        )
        await executor.launch((REQUEST,))
        assert wire.count("POST", "jobs") == 4
        assert list(wire.things["jobs"]) == [str(KEY)]

    play(story, slept)
    assert len(slept) == 3
    assert slept[0] >= 7


def test_what_a_quota_refuses_runs_once_there_is_room() -> None:
    """It waits with the quota's own words; a Job that is deleted is the occasion to try again."""

    async def story(wire: KubeWire, executor: KubernetesExecutor) -> None:
        other = wire.put("jobs", wire.job(request(task="8").spec.key, "d" * 64))
        wire.refusals["POST", "jobs"].append((403, QUOTA, {}))
        async with aclosing(executor.watch()) as watch:
            await anext(watch)
            await executor.launch((REQUEST,))
            waiting = job_in(await until(watch, phase(JobPhase.WAITING, "QuotaExceeded")))
            wire.tell("jobs", "DELETED", other)
            await until(watch, phase(JobPhase.WAITING, ""))
        assert "exceeded quota: two" in waiting.evidence.message
        assert str(KEY) in wire.things["jobs"]

    play(story)


def test_a_missing_right_is_no_quota() -> None:
    """403 for another reason ends the launch, with the API server's words."""

    async def story(wire: KubeWire, executor: KubernetesExecutor) -> None:
        wire.refusals["POST", "jobs"].append((403, NO_RIGHT, {}))
        await executor.launch((REQUEST,))
        async with aclosing(executor.watch()) as watch:
            job = job_in(await anext(watch))
        assert (job.phase, job.evidence.reason) == (JobPhase.FAILED, "Forbidden")
        assert "can't create" in job.evidence.message

    play(story)


def test_a_job_that_is_there_is_adopted_by_its_digest() -> None:
    """Already exists is success with the same spec, and a bug with another."""

    async def story(wire: KubeWire, executor: KubernetesExecutor) -> None:
        async with aclosing(executor.watch()) as watch:
            await anext(watch)
            wire.put("jobs", wire.job(KEY, DIGEST))
            other = request(task="8")
            wire.put("jobs", wire.job(other.spec.key, "e" * 64))
            await executor.launch((REQUEST,))
            with pytest.raises(AlreadyLaunched):
                await executor.launch((other,))

    play(story)


def test_a_job_that_is_being_deleted_is_waited_for() -> None:
    """It is no success, even with the same spec: it ends."""

    async def story(wire: KubeWire, executor: KubernetesExecutor) -> None:
        dying = wire.job(KEY, DIGEST)
        dying["metadata"]["deletionTimestamp"] = "2026-11-21T00:00:00Z"
        async with aclosing(executor.watch()) as watch:
            await anext(watch)
            wire.put("jobs", dying)
            launching = asyncio.create_task(executor.launch((REQUEST,)))
            await wire.until_asked("GET", "jobs", 2)
            del wire.things["jobs"][str(KEY)]
            await launching
        assert "deletionTimestamp" not in wire.things["jobs"][str(KEY)]["metadata"]

    play(story)


def test_a_cleaned_job_stays_gone() -> None:
    """What the watches still bring of a cleaned launch counts no more."""

    async def story(wire: KubeWire, executor: KubernetesExecutor) -> None:
        job = wire.put("jobs", wire.job(KEY, DIGEST))
        other = wire.put("jobs", wire.job(request(task="8").spec.key, "d" * 64))
        wire.put("pods", wire.pod(job, **over(0)))
        async with aclosing(executor.watch()) as watch:
            await anext(watch)
            await executor.clean(KEY)
            wire.tell("jobs", "MODIFIED", job)
            wire.tell("pods", "MODIFIED", wire.pod(job, **over(0)))
            wire.tell("jobs", "DELETED", job)
            wire.tell("pods", "ADDED", wire.pod(other, **RUNNING))
            seen = [await anext(watch), await anext(watch)]
        assert [(job_in(item, item.job.key).key.task, item.gone) for item in seen] == [
            ("7", True),
            ("8", False),
        ]

    play(story)


def test_a_job_deleted_by_hand_ends_with_its_pod() -> None:
    """While the pod has its grace the launch runs; then it was deleted, and stays known."""

    async def story(wire: KubeWire, executor: KubernetesExecutor) -> None:
        job = wire.put("jobs", wire.job(KEY, DIGEST))
        wire.put("pods", wire.pod(job, **RUNNING))
        async with aclosing(executor.watch()) as watch:
            await anext(watch)
            wire.tell("jobs", "DELETED", job)
            pod = wire.pod(job, **over(75))
            pod["metadata"]["deletionTimestamp"] = "2026-11-21T00:00:00Z"
            wire.tell("pods", "DELETED", pod)
            ended = job_in(await until(watch, phase(JobPhase.FAILED)))
            await executor.clean(KEY)
            gone = await anext(watch)
        assert (ended.evidence.reason, ended.evidence.exit_code) == ("Deleted", 75)
        assert isinstance(gone, Change)
        assert gone.gone

    play(story)


def test_a_pod_that_never_leaves_is_on_a_lost_node(monkeypatch: pytest.MonkeyPatch) -> None:
    """No event tells of it: once its grace and some more are over, the clock does."""
    monkeypatch.setattr("modelyard.k8s.status.LOST_SECONDS", 0.0)

    async def story(wire: KubeWire, executor: KubernetesExecutor) -> None:
        job = wire.put("jobs", wire.job(KEY, DIGEST))
        pod = wire.put("pods", wire.pod(job, **RUNNING))
        async with aclosing(executor.watch()) as watch:
            await anext(watch)
            marks = {"deletionTimestamp": "2026-11-21T00:00:00Z", "deletionGracePeriodSeconds": 0}
            wire.tell("pods", "MODIFIED", {**pod, "metadata": {**pod["metadata"], **marks}})
            lost = job_in(await until(watch, phase(JobPhase.FAILED)))
            await executor.clean(KEY)
        assert (lost.evidence.reason, lost.evidence.host) == ("NodeLost", "node-1")
        assert wire.things["jobs"] == {}

    play(story)


def test_the_words_of_a_wait_are_read_from_events() -> None:
    """A Job whose pods are refused says nothing itself; the newest warning about it does."""

    async def story(wire: KubeWire, executor: KubernetesExecutor) -> None:
        job = wire.put("jobs", wire.job(KEY, DIGEST))
        for second, message in ((1, "an old reason"), (3, "exceeded quota: gpus"), (2, "older")):
            wire.put("events", warning(job, second, message))
        async with aclosing(executor.watch()) as watch:
            await anext(watch)
            waiting = job_in(await until(watch, phase(JobPhase.WAITING, "QuotaExceeded")))
        assert waiting.evidence.message == "exceeded quota: gpus"

    play(story)


def warning(about: dict[str, Any], second: int, message: str) -> dict[str, Any]:
    """A warning event about an object."""
    at = f"2026-11-21T00:00:0{second}Z"
    return {
        "metadata": {"name": f"event-{second}", "creationTimestamp": at},
        "involvedObject": {"uid": about["metadata"]["uid"]},
        "lastTimestamp": at,
        "reason": "FailedCreate",
        "message": message,
    }


def test_a_failure_with_a_last_message_gets_its_log() -> None:
    """The termination message holds the reason; the last lines are fetched beside it."""

    async def story(wire: KubeWire, executor: KubernetesExecutor) -> None:
        wire.log = "the last line"
        job = wire.put("jobs", wire.job(KEY, DIGEST))
        wire.put("pods", wire.pod(job, **RUNNING))
        async with aclosing(executor.watch()) as watch:
            await anext(watch)
            wire.tell("pods", "MODIFIED", wire.pod(job, **over(1, '{"launch":"a-7-2"}')))
            ended = job_in(await until(watch, phase(JobPhase.FAILED)))
        assert ended.evidence.termination == '{"launch":"a-7-2"}'
        assert ended.evidence.log_tail == "the last line"

    play(story)


def test_a_launch_stopped_before_it_was_made_is_never_made() -> None:
    """Refused by a quota, stopped, and not tried again."""

    async def story(wire: KubeWire, executor: KubernetesExecutor) -> None:
        wire.refusals["POST", "jobs"].append((403, QUOTA, {}))
        async with aclosing(executor.watch()) as watch:
            await anext(watch)
            await executor.launch((REQUEST,))
            await executor.stop(KEY, 1.0)
            ended = job_in(await until(watch, phase(JobPhase.FAILED)))
        assert ended.evidence.reason == "Stopped"
        assert wire.things["jobs"] == {}

    play(story)


def test_a_placement_decides_the_namespace_and_an_invalid_one_is_said() -> None:
    """A volume without a place to mount it is a mistake that no cluster is asked about."""

    async def story(wire: KubeWire, executor: KubernetesExecutor) -> None:
        placement = replace(REQUEST.placement, volumes=({"emptyDir": {}},))
        await executor.launch((replace(REQUEST, placement=placement),))
        async with aclosing(executor.watch()) as watch:
            job = job_in(await anext(watch))
        assert (job.phase, job.evidence.reason) == (JobPhase.FAILED, "Invalid")
        assert "mount_path" in job.evidence.message
        assert wire.count("POST", "jobs") == 0

    play(story)


def test_the_token_is_kept_in_one_secret() -> None:
    """Made before the first Job, used by the next, deleted when the sweep retires."""

    async def story(wire: KubeWire, executor: KubernetesExecutor) -> None:
        await executor.launch((REQUEST,))
        await executor.launch((request(task="8"),))
        made = [kind for method, kind, _ in wire.asked if method == "POST"]
        await executor.retire(KEY.sweep)
        assert made == ["secrets", "jobs", "jobs"]
        assert wire.things["secrets"] == {}

    play(story)


def test_the_nodes_of_a_launch_share_a_service_and_an_end() -> None:
    """The Service is made with the Secret, and goes with it; the rank that failed tells why."""

    async def story(wire: KubeWire, executor: KubernetesExecutor) -> None:
        two = replace(REQUEST, resources=replace(REQUEST.resources, nodes=2))
        await executor.launch((two,))
        assert list(wire.things["services"]) == [f"modelyard-{KEY.sweep}"]
        async with aclosing(executor.watch()) as watch:
            for rank, code in enumerate((75, 1)):
                pod = wire.pod(wire.things["jobs"][str(KEY)], **over(code))
                labels = {**pod["metadata"]["labels"], INDEX_LABEL: str(rank)}
                pod["metadata"] |= {"name": f"{KEY}-{rank}", "labels": labels}
                wire.tell("pods", "ADDED", pod)
            ended = await until(watch, phase(JobPhase.FAILED))
        assert job_in(ended).evidence.exit_code == 1
        await executor.retire(KEY.sweep)
        assert wire.things["services"] == {}

    play(story)


def test_a_sweep_that_goes_on_while_it_retires_has_a_secret() -> None:
    """Its launch waits for the old one to be deleted, and makes another."""

    async def story(wire: KubeWire, executor: KubernetesExecutor) -> None:
        await executor.launch((REQUEST,))
        retiring = asyncio.create_task(executor.retire(KEY.sweep))
        await wire.until_asked("DELETE", "secrets", 1)
        await executor.launch((request(task="8"),))
        await retiring
        assert list(wire.things["secrets"]) == [f"modelyard-{KEY.sweep}"]

    play(story)
