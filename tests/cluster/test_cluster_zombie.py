"""A node whose kubelet has stopped: it is lost to the cluster, and what it runs goes on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.support.cluster_sweeps import asked, faults, first_words, small, states, until
from tests.support.host_server import HostServer, host_server
from tests.support.installation import kubectl
from tests.support.postgres import Postgres, postgres
from tests.support.simulated_nodes import REAL, SIMULATED, cordoned, simulated_nodes, there

__all__ = ["postgres"]

pytestmark = [pytest.mark.cluster, pytest.mark.slow_cluster]


@pytest.fixture
def server(tmp_path: Path, postgres: Postgres) -> Iterator[HostServer]:
    """Our server beside the cluster: it, its database and its store outlive the lost node."""
    with host_server(tmp_path, postgres.database(like=postgres.migrated), **there(5)) as server:
        yield server


@contextmanager
def lost_kubelet() -> Iterator[None]:
    """The real node's kubelet stands still while the block runs."""
    faults("pause", "kubelet")
    try:
        yield
    finally:
        faults("resume", "kubelet")
        kubectl("wait", "--for=condition=Ready", "nodes", "-l", REAL, "--timeout=120s")


def refused(server: HostServer) -> int:
    """How many batches the intake has refused, by its own metrics."""
    page = httpx.get(f"{server.address}/metrics", trust_env=False).raise_for_status().text
    found = re.search(r'^modelyard_batches_total\{answer="refused"\} (\S+)$', page, re.MULTILINE)
    return int(float(found[1])) if found else 0


def test_what_comes_back_from_a_lost_node_is_refused(server: HostServer) -> None:
    """The next launch runs elsewhere; the first, which nobody could end, is told that it has no
    say any more; the sweep ends with exactly the trials asked for."""
    endless = small(
        "zombie",
        data={"source": "sklearn:digits"},
        train={"epochs": 1_000_000},
        budget={"trials": 2, "parallel": 1},
    )
    with server.client() as client, simulated_nodes(1):
        with cordoned(SIMULATED):
            sweep = asked(client, endless)
            client.wait_stage(sweep, "prepare")
            client.run_stage(sweep, "sweep")
            (word,) = first_words(client, sweep, launch=1, tasks=1)
        with lost_kubelet():
            before = refused(server)
            stage = client.wait_stage(sweep, "sweep")
            until(lambda: refused(server) > before, "a word of the first launch")
        trials = client.trials(sweep)

    assert word["kind"] == "started"
    assert before == 0
    assert stage.state == "complete"
    assert states(trials) == [(0, "complete"), (1, "complete")]
    assert [trial.launches for trial in trials] == [2, 1]
    assert [trial.metrics["accuracy"] for trial in trials] == [0.9, 0.9]
