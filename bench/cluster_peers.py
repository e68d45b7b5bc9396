"""One program on the cluster as the peers run it: a bare Job, and a flow of Prefect's worker."""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import httpx

from bench.cluster_view import DEADLINE_SECONDS, ClusterView, Measured
from modelyard.k8s.client import models

WORK = "import time; time.sleep(1.0)"
SAY_WHEN = "open('/dev/termination-log', 'w').write(f'ended {time.time()}')"
FLOW = f"""
import atexit, os, time
atexit.register(lambda: {SAY_WHEN})
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.flow_engine import run_flow
@flow
def one():
    {WORK}
with get_client(sync_client=True) as client:
    run = client.read_flow_run(os.environ["PREFECT__FLOW_RUN_ID"])
run_flow(one, flow_run=run)
"""
"""What ``prefect flow-run execute`` does, but for finding the flow's code."""


def bare_job(view: ClusterView, image: str) -> tuple[float, float]:
    """A Job created and watched by a client; a turn, see ``Measured``."""
    name = f"bench-{secrets.token_hex(4)}"
    container = models.V1Container(
        name="main", image=image, command=["python", "-P", "-c", f"{WORK}; {SAY_WHEN}"]
    )
    pod = models.V1PodSpec(restart_policy="Never", containers=[container])
    job = models.V1Job(
        api_version="batch/v1",
        kind="Job",
        metadata=models.V1ObjectMeta(name=name, namespace=view.namespace),
        spec=models.V1JobSpec(backoff_limit=0, template=models.V1PodTemplateSpec(spec=pod)),
    )
    began = time.time()
    view.do(view.api.create("jobs", job))
    seen = view.over(name)
    view.do(view.api.delete("jobs", view.namespace, name))
    return seen.running_at - began, seen.over_at - seen.ended_at


@contextmanager
def prefect_flow(view: ClusterView, image: str, api: str, key: str) -> Iterator[Measured]:
    """Turns of a deployment on the installation's own work pool, which is deleted at the end.

    Args:
        image: with Prefect in it.
        api: base URL of Prefect's server.
        key: its user and password in one.
    """
    header = {"Authorization": f"Basic {base64.b64encode(key.encode()).decode()}"}
    with httpx.Client(base_url=f"{api}/api", headers=header, trust_env=False) as prefect:

        def ask(method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
            answer = prefect.request(method, path, json=body).raise_for_status()
            return dict(answer.json()) if answer.content else {}

        flow = ask("POST", "/flows/", {"name": f"bench-{secrets.token_hex(4)}"})["id"]
        wanted = {"image": image, "command": f"python -P -c '{FLOW.replace(chr(39), chr(34))}'"}
        deployment = ask(
            "POST",
            "/deployments/",
            {
                "name": "bench",
                "flow_id": flow,
                "work_pool_name": "modelyard",
                "job_variables": wanted,
            },
        )["id"]

        def turn() -> tuple[float, float]:
            name, began = f"bench-{secrets.token_hex(4)}", time.time()
            run = ask("POST", f"/deployments/{deployment}/create_flow_run", {"name": name})["id"]
            seen = view.over(name)
            completed_at = _completed_at(lambda: ask("GET", f"/flow_runs/{run}"))
            return seen.running_at - began, completed_at - seen.ended_at

        try:
            yield turn
        finally:
            ask("DELETE", f"/flows/{flow}")


def _completed_at(look: Callable[[], dict[str, Any]]) -> float:
    """When a flow run became what it is now, which must be complete."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        state = look()["state"]
        if state["type"] == "COMPLETED":
            return datetime.fromisoformat(state["timestamp"]).timestamp()
        time.sleep(0.2)
    raise RuntimeError(f"Prefect's flow run is {state['type']}: {state.get('message')}")
