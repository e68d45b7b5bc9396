"""What happens to launches on a real cluster, and what the executor makes of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import replace

import pytest
from kubernetes import client, watch

from modelyard.contract import Exit, LaunchKey, Stage
from modelyard.executor import Change, Job, JobPhase, LaunchRequest, Placement, Resources
from modelyard.k8s.executor import KubernetesExecutor
from modelyard.k8s.settings import KubernetesSettings
from tests.contract.executor_suite import ROOMY, Bench, has_ended
from tests.support.cluster import Tokens, cluster_bench, core, namespace

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def room() -> Iterator[str]:
    """A namespace for all tests of this module."""
    with namespace() as name:
        yield name


@pytest.fixture(scope="module")
def bench(room: str) -> Iterator[Bench]:
    """An executor for all tests; each uses keys of its own."""
    with cluster_bench(room) as bench:
        yield bench


@pytest.fixture(scope="module")
def snapshot(bench: Bench) -> str:
    """The data of every fit here."""
    return bench.snapshot()


@pytest.fixture
def fit(bench: Bench, snapshot: str) -> Iterator[LaunchRequest]:
    """A fit without an end, that has saved a checkpoint; cleaned away afterwards."""
    request = bench.request(Stage.TRIAL, epochs=1_000_000, inputs={"snapshot": snapshot})
    bench.run(bench.executor.launch((request,)))
    bench.wait_for(request.spec.key, "checkpoint")
    yield request
    bench.run(bench.executor.clean(request.spec.key))


def waits(bench: Bench, request: LaunchRequest, reason: str) -> Job:
    """Launch, and the job once it waits for a reason that has words."""

    async def launch() -> Job:
        await bench.executor.launch((request,))
        return await bench.reaches(
            request.spec.key,
            lambda job: job.evidence.reason == reason and bool(job.evidence.message),
        )

    return bench.run(launch())


def pod_of(room: str, key: LaunchKey) -> str:
    """Name of a launch's pod."""
    selector = f"batch.kubernetes.io/job-name={key}"
    (pod,) = core().list_namespaced_pod(room, label_selector=selector).items
    return str(pod.metadata.name)


def test_a_request_that_no_node_can_hold_is_said(bench: Bench) -> None:
    """The scheduler's own sentence is shown; stopping such a launch ends it."""
    request = bench.request(resources=Resources(gpus=99))
    job = waits(bench, request, "Unschedulable")
    bench.run(bench.executor.stop(request.spec.key, 1.0))
    over = bench.run(bench.reaches(request.spec.key, has_ended))

    assert job.phase is JobPhase.WAITING
    assert "Insufficient nvidia.com/gpu" in job.evidence.message
    assert over.phase is JobPhase.FAILED
    bench.run(bench.executor.clean(request.spec.key))


def test_an_image_that_is_not_there_is_said(bench: Bench) -> None:
    """What the kubelet says of a pull that failed."""
    placement = Placement(image="localhost/modelyard-trial:no-such-tag")
    request = replace(bench.request(), placement=placement)
    job = waits(bench, request, "ImagePull")
    bench.run(bench.executor.clean(request.spec.key))

    assert job.phase is JobPhase.WAITING
    assert "no-such-tag" in job.evidence.message


def test_a_secret_that_is_missing_is_said(bench: Bench, room: str) -> None:
    """The sweep's token was deleted by hand: the pod waits, with the kubelet's words."""
    bench.run(bench.carry_out(bench.request()))
    core().delete_namespaced_secret("modelyard-contract", room)
    request = bench.request()
    job = waits(bench, request, "Config")
    bench.run(bench.executor.clean(request.spec.key))
    bench.run(bench.executor.retire("contract"))

    assert 'secret "modelyard-contract" not found' in job.evidence.message


def test_an_unknown_priority_class_is_said(bench: Bench) -> None:
    """The Job is accepted and its pods are refused: only an event knows why."""
    request = replace(bench.request(), placement=Placement(priority_class="no-such-class"))
    job = waits(bench, request, "FailedCreate")
    bench.run(bench.executor.clean(request.spec.key))

    assert "no-such-class" in job.evidence.message


def test_a_volume_that_is_none_is_refused(bench: Bench) -> None:
    """What Kubernetes doesn't know never leaves this machine."""
    volume = {"mount_path": "/data", "hostPathh": {"path": "/data"}}
    request = replace(bench.request(), placement=Placement(volumes=(volume,)))
    job = bench.run(bench.carry_out(request))

    assert (job.phase, job.evidence.reason) == (JobPhase.FAILED, "Invalid")
    assert "hostPathh" in job.evidence.message


def test_a_label_that_is_none_is_refused(bench: Bench) -> None:
    """What only the API server knows to be wrong is told in its words."""
    request = replace(bench.request(), placement=Placement(labels={"team": "not a label"}))
    job = bench.run(bench.carry_out(request))

    assert (job.phase, job.evidence.reason) == (JobPhase.FAILED, "Invalid")
    assert "not a label" in job.evidence.message


def test_an_evicted_launch_saves_and_is_known_as_disrupted(
    bench: Bench, room: str, fit: LaunchRequest
) -> None:
    """A drain: the program has its grace, and the end isn't its own."""
    name = pod_of(room, fit.spec.key)
    eviction = client.V1Eviction(metadata=client.V1ObjectMeta(name=name, namespace=room))
    core().create_namespaced_pod_eviction(name, room, eviction)
    job = bench.run(bench.reaches(fit.spec.key, has_ended))

    assert (job.phase, job.evidence.reason) == (JobPhase.FAILED, "DisruptionTarget")
    assert job.evidence.exit_code == Exit.STOPPED
    assert job.evidence.host


def test_a_pod_deleted_by_hand_is_said(bench: Bench, room: str, fit: LaunchRequest) -> None:
    """Somebody's kubectl delete pod: the program saved, and no second pod came."""
    core().delete_namespaced_pod(pod_of(room, fit.spec.key), room)
    job = bench.run(bench.reaches(fit.spec.key, has_ended))

    assert (job.phase, job.evidence.reason) == (JobPhase.FAILED, "Deleted")
    assert job.evidence.exit_code == Exit.STOPPED
    assert len(bench.told(fit.spec.key, "started")) == 1


def test_a_pod_deleted_by_force_is_said(bench: Bench, room: str, fit: LaunchRequest) -> None:
    """Its object is gone before its program has ended."""
    core().delete_namespaced_pod(pod_of(room, fit.spec.key), room, grace_period_seconds=0)
    job = bench.run(bench.reaches(fit.spec.key, has_ended))

    assert (job.phase, job.evidence.reason) == (JobPhase.FAILED, "Deleted")


def test_a_job_deleted_by_hand_is_said(bench: Bench, room: str, fit: LaunchRequest) -> None:
    """Its pod saves and ends; the launch stays known until it is cleaned."""
    key = fit.spec.key
    batch = client.BatchV1Api()
    batch.delete_namespaced_job(str(key), room, propagation_policy="Background")
    job = bench.run(bench.reaches(key, has_ended))
    there = bench.run(bench.jobs())

    assert (job.phase, job.evidence.reason) == (JobPhase.FAILED, "Deleted")
    assert there[key] == job


def test_a_new_executor_adopts_what_runs(bench: Bench, room: str, fit: LaunchRequest) -> None:
    """After a restart the first snapshot holds the launch; launching it again starts nothing."""
    key = fit.spec.key

    async def adopt() -> tuple[Job, Job]:
        settings = KubernetesSettings(namespace=room)
        other = KubernetesExecutor(settings, tokens=Tokens())
        try:
            async with aclosing(other.watch()) as watch:
                first = await anext(watch)
                assert not isinstance(first, Change)
                (before,) = (job for job in first.jobs if job.key == key)
                await other.launch((fit,))
                await other.stop(key, 30.0)
                async for item in watch:
                    if isinstance(item, Change) and item.job.key == key and has_ended(item.job):
                        return before, item.job
        finally:
            await other.close()
        raise AssertionError("the watch ended")

    before, after = bench.run(adopt())

    assert before.phase is JobPhase.RUNNING
    assert after.evidence.exit_code == Exit.STOPPED
    assert len(bench.told(key, "started")) == 1


def test_the_secret_is_made_once_and_retired(bench: Bench, room: str) -> None:
    """Launches of a sweep share a token that lies in the cluster until the sweep has ended."""
    bench.run(bench.carry_out(bench.request()))
    before = core().read_namespaced_secret("modelyard-contract", room)
    bench.run(bench.carry_out(bench.request()))
    after = core().read_namespaced_secret("modelyard-contract", room)
    bench.run(bench.executor.retire("contract"))

    assert before.data == after.data
    with pytest.raises(client.ApiException, match="not found"):
        core().read_namespaced_secret("modelyard-contract", room)


def test_a_launch_over_quota_waits_and_then_runs() -> None:
    """A quota of one Job: the second says that it waits, and runs once the first is cleaned."""
    with namespace() as room, cluster_bench(room) as bench:
        hard = {"count/jobs.batch": "1"}
        quota = client.V1ResourceQuota(
            metadata=client.V1ObjectMeta(name="one"), spec=client.V1ResourceQuotaSpec(hard=hard)
        )
        core().create_namespaced_resource_quota(room, quota)
        quota_counts(room)
        first, second = bench.request(), bench.request()
        bench.run(bench.carry_out(first))
        waiting = waits(bench, second, "QuotaExceeded")
        bench.run(bench.executor.clean(first.spec.key))
        done = bench.run(bench.reaches(second.spec.key, has_ended))

    assert waiting.phase is JobPhase.WAITING
    assert "exceeded quota: one" in waiting.evidence.message
    assert done.phase is JobPhase.SUCCEEDED


def test_a_pod_over_quota_waits_with_the_words_of_the_event() -> None:
    """A quota on GPUs lets the Job be made and refuses its pod."""
    with namespace() as room, cluster_bench(room) as bench:
        hard = {"requests.nvidia.com/gpu": "0"}
        quota = client.V1ResourceQuota(
            metadata=client.V1ObjectMeta(name="none"), spec=client.V1ResourceQuotaSpec(hard=hard)
        )
        core().create_namespaced_resource_quota(room, quota)
        quota_counts(room)
        request = bench.request(resources=replace(ROOMY, gpus=1))
        job = waits(bench, request, "QuotaExceeded")
        bench.run(bench.executor.stop(request.spec.key, 1.0))
        over = bench.run(bench.reaches(request.spec.key, has_ended))

    assert job.phase is JobPhase.WAITING
    assert "exceeded quota: none" in job.evidence.message
    assert (over.phase, over.evidence.reason) == (JobPhase.FAILED, "Stopped")


def quota_counts(room: str) -> None:
    """Wait until the API server enforces the quota, which it does once it was counted."""
    quotas = core().list_namespaced_resource_quota
    for event in watch.Watch().stream(quotas, room, timeout_seconds=30):
        if event["object"].status and event["object"].status.used is not None:
            return
    raise AssertionError("the quota was never counted")
