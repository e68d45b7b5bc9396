"""Sweeps on a real cluster, driven stage by stage through the server's API."""

from __future__ import annotations

import json
import shlex
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any, TypeVar

from modelyard.api import SweepRequest, TrialView
from modelyard.client import Client
from modelyard.errors import ModelyardError
from modelyard.experiment.load import experiment_from
from tests.support.cluster import needed
from tests.support.installation import Installation

DEADLINE_SECONDS = 300.0
"""Longest that anything here may take; far beyond what it takes on a busy machine."""

Found = TypeVar("Found")


def small(name: str, **sections: Any) -> dict[str, Any]:
    """An experiment of two quick trials, each asking for one GPU; sections replace its own."""
    return {
        "name": name,
        "data": {"source": "sklearn:iris"},
        "model": "mlp",
        "search": {
            "sampler": "random",
            "pruner": "none",
            "space": {"learning_rate": {"float": [0.001, 0.01]}},
        },
        "budget": {"trials": 2, "parallel": 2},
        "train": {"epochs": 2},
        "resources": {"gpus": 1, "cpus": 0.2, "memory": "1Gi"},
        "deploy": None,
        **sections,
    }


def asked(client: Client, experiment: dict[str, Any]) -> str:
    """A sweep whose data is being prepared; its id."""
    document = experiment_from(experiment).to_document()
    sweep = client.create_sweep(SweepRequest(experiment=document)).id
    client.run_stage(sweep, "prepare")
    return sweep


def begin(client: Client, experiment: dict[str, Any]) -> str:
    """A sweep whose trials have been asked for; its id."""
    sweep = asked(client, experiment)
    client.wait_stage(sweep, "prepare")
    client.run_stage(sweep, "sweep")
    return sweep


def states(trials: list[TrialView]) -> list[tuple[int, str]]:
    """Number and state of each trial."""
    return [(trial.number, trial.state.value) for trial in trials]


def pods(installation: Installation, sweep: str, task: str) -> list[dict[str, Any]]:
    """The pods of a task's launches, oldest first."""
    return installation.items("pods", f"modelyard/sweep={sweep},modelyard/trial={task}")


def jobs(installation: Installation, sweep: str) -> list[dict[str, Any]]:
    """The Jobs of a sweep."""
    return installation.items("jobs", f"modelyard/sweep={sweep}")


def node_of(installation: Installation, sweep: str, task: str) -> str | None:
    """The node of the task's newest pod, None where it has none."""
    found = pods(installation, sweep, task)
    return found[-1]["spec"].get("nodeName") if found else None


def running(installation: Installation, sweep: str, task: str) -> str | None:
    """Name of the task's running pod, None where there is none."""
    names = [
        str(pod["metadata"]["name"])
        for pod in pods(installation, sweep, task)
        if pod["status"].get("phase") == "Running" and "deletionTimestamp" not in pod["metadata"]
    ]
    return names[-1] if names else None


def until(condition: Callable[[], Found], what: str, seconds: float = DEADLINE_SECONDS) -> Found:
    """What the condition gives once it is true; one that can't be asked yet isn't."""
    deadline, nap = time.monotonic() + seconds, threading.Event()
    seen: object = None
    while time.monotonic() < deadline:
        try:
            found = condition()
        except (ModelyardError, LookupError, StopIteration) as error:
            seen = error
        else:
            if found:
                return found
            seen = found
        nap.wait(0.1)
    raise AssertionError(f"not in {seconds:g} s: {what}; last seen {seen!r}")


def faults(*words: str) -> None:
    """Break or mend a part of the cluster itself; the test is skipped where nobody can."""
    subprocess.run([*shlex.split(needed("MODELYARD_TEST_FAULTS")), *words], check=True)


def evict(installation: Installation, pod: str) -> None:
    """Ask the eviction API, as a drain does."""
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod, "namespace": installation.namespace},
    }
    path = f"/api/v1/namespaces/{installation.namespace}/pods/{pod}/eviction"
    installation.kubectl("create", "--raw", path, "-f", "-", text=json.dumps(body))


def real_node(installation: Installation) -> str:
    """The node that runs what it is given; the others only say so."""
    return str(installation.items("nodes", "type!=kwok")[0]["metadata"]["name"])


def first_words(client: Client, sweep: str, launch: int, tasks: int) -> list[Mapping[str, Any]]:
    """What so many trials said first in their launch of a number; waits for them."""
    events = (
        event.body
        for event in client.events(sweep)
        if event.body["kind"] == "started" and event.launch == launch and event.task.isdigit()
    )
    return list(islice(events, tasks))
