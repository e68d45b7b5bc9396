"""``modelyard up`` and ``down``, and what a Prefect user does in between, with real servers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from modelyard.local import processes, services
from modelyard.settings import Paths
from tests.support.home import (
    DEADLINE_SECONDS,
    client,
    command,
    document,
    ended_trials,
    eventually,
    living,
    whole_home,
)

pytestmark = [pytest.mark.integration, pytest.mark.slow]

ASKED: dict[str, Any] = {"trust_env": False, "timeout": DEADLINE_SECONDS}
"""How servers of this machine are asked: directly, and they may be slow."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Paths]:
    """One home for the module: a Prefect server's first start takes long."""
    with whole_home(tmp_path_factory.mktemp("up")) as paths:
        yield paths


def test_up_starts_everything_once_and_runs_deployments(home: Paths) -> None:
    """A flow run asked for by Prefect's API, in short forms, shows its artifacts and completes."""
    first, second = command(home, "up", "--json"), command(home, "up")

    assert first.returncode == 0, first.stderr
    assert second.returncode == 0
    assert "everything is up already" in second.stdout
    up = {service["name"]: service["address"] for service in document(first)["services"]}
    assert set(up) == {"server", "prefect", "worker", "mlflow"}
    assert httpx.get(up["mlflow"], **ASKED).status_code == 200
    flow_run = asked_for(
        up["prefect"],
        {"name": "by-api", "data": {"source": "sklearn:iris"}, "model": "random-forest"}
        | {"budget": {"trials": 2}, "search": {"sampler": "random", "pruner": "none"}},
    )
    state = eventually(lambda: final_state(up["prefect"], flow_run), "the flow run's end")
    assert state["type"] == "COMPLETED", state
    kinds = {artifact["type"] for artifact in artifacts(up["prefect"], flow_run)}
    assert {"progress", "table"} <= kinds


def test_cancelling_in_prefect_cancels_the_sweep(home: Paths) -> None:
    """The trials end with their flow run."""
    assert command(home, "up").returncode == 0
    prefect = services.running("prefect", home)
    assert prefect is not None
    flow_run = asked_for(
        prefect.address,
        {"name": "cancelled-there", "data": {"source": "sklearn:digits"}, "model": "mlp"}
        | {"budget": {"trials": 50}, "train": {"epochs": 30}},
    )
    eventually(lambda: ended_trials(home, "cancelled-there") >= 1, "a first trial")

    httpx.post(
        f"{prefect.address}/api/flow_runs/{flow_run}/set_state",
        json={"state": {"type": "CANCELLING"}},
        **ASKED,
    ).raise_for_status()

    with client(home) as server:
        ended = list(server.follow(server.sweep("cancelled-there").id))[-1]
    assert ended.state == "cancelled"
    assert eventually(lambda: final_state(prefect.address, flow_run), "its end")["type"] == (
        "CANCELLED"
    )


def test_down_ends_every_process(home: Paths) -> None:
    """Nothing of the home lives afterwards, so nothing listens; a second down is no error."""
    assert command(home, "up").returncode == 0
    were = {process.pid: process.create_time() for process in living(home)}
    assert len(were) >= len(services.recorded(home)) >= 4

    assert command(home, "down").returncode == 0

    assert [pid for pid, started in were.items() if processes.lives(pid, started)] == []
    assert services.recorded(home) == []
    assert command(home, "down").returncode == 0


def asked_for(prefect: str, experiment: dict[str, Any]) -> str:
    """A run of the deployment ``pipeline``, by Prefect's API."""
    with httpx.Client(base_url=f"{prefect}/api", **ASKED) as http:
        deployment = http.get("/deployments/name/pipeline/pipeline").raise_for_status().json()
        answer = http.post(
            f"/deployments/{deployment['id']}/create_flow_run",
            json={"parameters": {"experiment": experiment}, "state": {"type": "SCHEDULED"}},
        )
        return str(answer.raise_for_status().json()["id"])


def final_state(prefect: str, flow_run: str) -> dict[str, Any] | None:
    answer = httpx.get(f"{prefect}/api/flow_runs/{flow_run}", **ASKED)
    state: dict[str, Any] = answer.json()["state"]
    return state if state["type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED") else None


def artifacts(prefect: str, flow_run: str) -> list[dict[str, Any]]:
    wanted = {"artifacts": {"flow_run_id": {"any_": [flow_run]}}}
    found: list[dict[str, Any]] = httpx.post(
        f"{prefect}/api/artifacts/filter", json=wanted, **ASKED
    ).json()
    return found
