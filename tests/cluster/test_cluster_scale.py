"""Four hundred trials at once, on simulated nodes, beside the same Jobs made by a bare client."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC
from pathlib import Path
from statistics import quantiles
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from modelyard.journal.postgres import SCHEMA, SHARED_SCHEMA
from tests.support.bare_jobs import (
    JOBS,
    PODS,
    Watched,
    alike,
    create,
    job_ended,
    pod_ended,
    watching,
)
from tests.support.cluster_sweeps import asked, small, states
from tests.support.cost import Cost
from tests.support.host_server import HostServer, host_server
from tests.support.installation import kubectl
from tests.support.postgres import Postgres, postgres
from tests.support.simulated_nodes import REAL, cordoned, simulated_nodes, there

__all__ = ["postgres"]

pytestmark = [pytest.mark.cluster, pytest.mark.slow_cluster]

TRIALS, NODES = 400, 50
RUN_SECONDS = 60
LONGER = 1.10
REQUESTS_A_JOB = 2.5
LATE_SECONDS = 0.1
CORES, MEGABYTES = 0.5, 500
DEADLINE_SECONDS = 400.0


@pytest.fixture
def server(tmp_path: Path, postgres: Postgres) -> Iterator[HostServer]:
    """Our server, whose launches may run on simulated nodes."""
    database = postgres.database(like=postgres.migrated)
    with host_server(tmp_path, database, **there(RUN_SECONDS)) as server:
        yield server


@contextmanager
def counted(server: HostServer) -> Iterator[str]:
    """A flow of the API server's own for the requests of our server's account; its name."""
    name = server.namespace
    subject = {
        "kind": "ServiceAccount",
        "serviceAccount": {"name": server.account, "namespace": server.namespace},
    }
    everything = {
        "apiGroups": ["*"],
        "clusterScope": True,
        "namespaces": ["*"],
        "resources": ["*"],
        "verbs": ["*"],
    }
    schema = {
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1",
        "kind": "FlowSchema",
        "metadata": {"name": name},
        "spec": {
            "matchingPrecedence": 1000,
            "priorityLevelConfiguration": {"name": "workload-low"},
            "rules": [{"subjects": [subject], "resourceRules": [everything]}],
        },
    }
    kubectl("create", "-f", "-", text=json.dumps(schema))
    try:
        yield name
    finally:
        kubectl("delete", "flowschema", name)


def requests(flow: str) -> int:
    """How many requests of a flow the API server has let through, by its metrics."""
    counter = r'^apiserver_flowcontrol_dispatched_requests_total\{flow_schema="%s".*\} (\S+)$'
    found = re.findall(counter % flow, kubectl("get", "--raw", "/metrics"), re.MULTILINE)
    return sum(int(float(number)) for number in found)


def span(server: HostServer, sweep: str) -> float:
    """Seconds from a sweep's first launch to its last tell, as its databases have them."""
    launches = f"select min(created_at) from {SCHEMA}.launches where sweep = :it and task = '0'"
    told = (
        f"select max(datetime_complete) from {SHARED_SCHEMA}.trials "
        f"join {SHARED_SCHEMA}.studies using (study_id) where study_name = :it"
    )
    engine = create_engine(server.database)
    with engine.connect() as connection:
        begun = connection.execute(text(launches), {"it": sweep}).scalar_one()
        ended = connection.execute(text(told), {"it": sweep}).scalar_one()
    engine.dispose()
    # Optuna keeps UTC, and doesn't say so.
    return float(ended.replace(tzinfo=UTC).timestamp() - begun)


def alone(server: HostServer, jobs: list[dict[str, Any]]) -> float:
    """Seconds that Jobs take which nobody but their maker knows, until the last says so."""
    names = {f"alone-{number}" for number in range(len(jobs))}
    manifests = [alike(job, name) for job, name in zip(jobs, sorted(names), strict=True)]
    with watching(server, JOBS, job_ended) as seen:
        begun = time.time()
        create(server, manifests)
        seen.wait(lambda: names, DEADLINE_SECONDS)
    return max(seen.ended.values()) - begun


def delays(server: HostServer, pods: Watched) -> list[float]:
    """By how much our server saw each pod's end later than a bare watch did."""
    seen = {}
    for line in server.changes.read_text().splitlines():
        at, launch, phase = line.split()
        if phase in ("succeeded", "failed"):
            seen.setdefault(launch, float(at))
    bare = {
        pods.first[name]["metadata"]["labels"]["job-name"]: at for name, at in pods.ended.items()
    }
    return [seen[launch] - at for launch, at in bare.items()]


def test_four_hundred_trials_at_once_cost_little_more_than_their_jobs(
    server: HostServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """All are told, in hardly more time than the same Jobs take by themselves; the server stays
    small, asks the cluster little, and sees a pod's end when a bare watch does."""
    many = {"trials": TRIALS, "parallel": TRIALS}
    cost = Cost()
    with server.client() as client:
        sweep = asked(client, small("scale", budget=many))
        client.wait_stage(sweep, "prepare")
        with (
            simulated_nodes(NODES),
            cordoned(REAL),
            counted(server) as flow,
            watching(server, JOBS, job_ended) as jobs,
        ):
            with watching(server, PODS, pod_ended) as pods, cost.of(server.process):
                before = requests(flow)
                client.run_stage(sweep, "sweep")
                stage = client.wait_stage(sweep, "sweep")
                asked_for = requests(flow) - before
            ours, trials = span(server, sweep), client.trials(sweep)
            theirs = alone(server, list(jobs.first.values()))
    late = delays(server, pods)
    p99 = quantiles(late, n=100)[98]
    with capsys.disabled():
        print(
            f"\n{TRIALS} trials: {ours:.1f} s, their Jobs alone {theirs:.1f} s "
            f"({ours / theirs:.3f} times); {cost.cores:.3f} cores, {cost.megabytes:.0f} MB, "
            f"{asked_for / TRIALS:.2f} requests a Job, ends seen {1000 * p99:.0f} ms later (p99)"
        )

    assert stage.state == "complete"
    assert states(trials) == [(number, "complete") for number in range(TRIALS)]
    assert len(late) == TRIALS
    assert ours <= LONGER * theirs
    assert asked_for <= REQUESTS_A_JOB * TRIALS
    assert p99 < LATE_SECONDS
    assert cost.cores < CORES
    assert cost.megabytes < MEGABYTES
