"""What a cluster does to trials, and what becomes of them: real Jobs, through the server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from modelyard.client import Client
from tests.support.cluster_sweeps import (
    asked,
    begin,
    evict,
    faults,
    first_words,
    jobs,
    node_of,
    real_node,
    running,
    small,
    states,
    until,
)
from tests.support.installation import Installation

pytestmark = pytest.mark.cluster

REASON_SECONDS = 10.0
"""What is promised: the scheduler's own reason is shown by then."""

DIGITS = {"source": "sklearn:digits"}
COMPLETE = [(0, "complete"), (1, "complete")]
NEVER = "localhost/modelyard-trial:never"


@pytest.fixture
def client(installation: Installation) -> Iterator[Client]:
    """The server of the cluster."""
    with installation.client() as client:
        yield client


@contextmanager
def quota(installation: Installation, name: str, limits: str) -> Iterator[None]:
    """A ResourceQuota in the namespace of the trials while the block runs."""
    installation.kubectl("create", "quota", name, f"--hard={limits}")
    try:
        yield
    finally:
        installation.kubectl("delete", "quota", name)


@contextmanager
def cordoned(installation: Installation, node: str) -> Iterator[None]:
    """A node that takes no new pod while the block runs."""
    installation.kubectl("cordon", node)
    try:
        yield
    finally:
        installation.kubectl("uncordon", node)


def test_what_no_node_can_give_is_said_in_the_schedulers_words(
    installation: Installation, client: Client
) -> None:
    """Within ten seconds it is shown what the launch waits for; cancelled, nothing is left."""
    sweep = asked(client, small("greedy", resources={"gpus": 1, "node_selector": {"no": "such"}}))
    greedy = asked(client, small("very-greedy", resources={"gpus": 1, "cpus": 99}))

    selective = until(lambda: client.stage(sweep, "prepare").waiting, "why", REASON_SECONDS)
    needy = until(lambda: client.stage(greedy, "prepare").waiting, "why", REASON_SECONDS)
    for one in (sweep, greedy):
        client.cancel(one, "enough")
        assert list(client.follow(one))[-1].state == "cancelled"

    assert "node(s) didn't match" in selective
    assert "Insufficient cpu" in needy
    until(lambda: not jobs(installation, sweep) + jobs(installation, greedy), "no Job is left")


def test_an_image_that_nobody_can_pull_stops_the_sweep_with_one_message(
    installation: Installation, client: Client
) -> None:
    """The message names the image, and no trial was charged."""
    sweep = asked(client, small("no-image", resources={"gpus": 0, "image": NEVER}))

    stage = client.wait_stage(sweep, "prepare")

    assert stage.failure is not None
    assert stage.failure.category == "configuration"
    assert NEVER in stage.failure.summary
    assert client.sweep(sweep).counts.ended == 0
    until(lambda: not jobs(installation, sweep), "no Job is left")


def test_what_a_quota_refuses_waits_and_then_runs(
    installation: Installation, client: Client
) -> None:
    """With room for two Jobs all four trials run in the end; the others say what they wait for."""
    budget = {"trials": 4, "parallel": 4}
    sweep = asked(client, small("quota", data=DIGITS, budget=budget, train={"epochs": 10}))
    client.wait_stage(sweep, "prepare")
    there = len(installation.items("jobs"))

    with quota(installation, "two-more", f"count/jobs.batch={there + 2}"):
        client.run_stage(sweep, "sweep")
        waiting = until(
            lambda: [t.waiting for t in client.trials(sweep) if "quota" in t.waiting],
            "trials that wait for the quota",
        )
        client.wait_stage(sweep, "sweep")

    assert 1 <= len(waiting) <= 2
    assert states(client.trials(sweep)) == [(n, "complete") for n in range(4)]
    assert {trial.launches for trial in client.trials(sweep)} == {1}


def test_out_of_memory_is_infeasible_and_costs_no_other_trial(client: Client) -> None:
    """The kubelet's word is the evidence; the trial isn't tried again unchanged."""
    space = {"hidden": [16, 16384]}
    sweep = begin(
        client,
        small(
            "too-wide",
            model={"family": "mlp", "parameters": {"layers": 3}},
            search={"sampler": "grid", "pruner": "none", "space": space},
            resources={"gpus": 1, "cpus": 0.2, "memory": "700Mi"},
        ),
    )
    client.wait_stage(sweep, "sweep")

    by_width = {trial.parameters["hidden"]: trial for trial in client.trials(sweep)}
    assert by_width[16].state == "complete"
    wide = by_width[16384]
    assert (wide.state, wide.launches) == ("infeasible", 1)
    assert wide.failure is not None
    assert wide.failure.category == "out of memory"


def test_an_evicted_pod_and_deleted_ones_cost_no_trial(
    installation: Installation, client: Client
) -> None:
    """Evicted, its pod deleted by hand, its Job deleted by hand: each goes on with its next
    launch, from its checkpoint, and nothing is charged."""
    budget = {"trials": 3, "parallel": 3}
    sweep = begin(client, small("hurt", data=DIGITS, budget=budget, train={"epochs": 250}))
    names = {}
    for task in ("0", "1", "2"):
        until(lambda task=task: client.trials(sweep)[int(task)].step, f"trial {task} trains")
        names[task] = running(installation, sweep, task)

    evict(installation, names["0"])
    installation.kubectl("delete", "pod", names["1"], "--wait=false")
    installation.kubectl("delete", "job", f"{sweep}-2-1", "--wait=false")
    client.wait_stage(sweep, "sweep")

    trials = client.trials(sweep)
    assert states(trials) == [(n, "complete") for n in range(3)]
    assert {trial.launches for trial in trials} == {2}
    resumed = [body["resumed_epoch"] for body in first_words(client, sweep, launch=2, tasks=3)]
    assert all(epoch and epoch >= 1 for epoch in resumed), resumed
    until(lambda: not jobs(installation, sweep), "no Job is left")


def test_a_lost_node_costs_no_trial(installation: Installation, client: Client) -> None:
    """The launch on the lost node is given up; the next one runs on another node."""
    faults("fake-nodes", "0")
    resources = {
        "gpus": 1,
        "cpus": 0.2,
        "memory": "1Gi",
        "tolerations": [{"key": "kwok.x-k8s.io/node", "operator": "Exists"}],
        "annotations": {"fake/run-duration": "3600s"},
    }
    sweep = asked(client, small("lost", budget={"trials": 1, "parallel": 1}, resources=resources))
    real = real_node(installation)
    with cordoned(installation, "spot-1"):
        client.wait_stage(sweep, "prepare")
    with cordoned(installation, real):
        client.run_stage(sweep, "sweep")
        until(lambda: node_of(installation, sweep, "0") == "spot-1", "a pod on the spot node")
    faults("stop", "spot")
    try:
        client.wait_stage(sweep, "sweep")
    finally:
        faults("start", "spot")

    (trial,) = client.trials(sweep)
    assert (trial.state, trial.launches) == ("complete", 2)
    assert node_of(installation, sweep, "0") in (real, None)
    until(lambda: not jobs(installation, sweep), "no Job is left")
