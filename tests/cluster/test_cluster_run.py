"""One experiment from a laptop to a registered version, while everything it needs is killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest

from modelyard.api import SweepView, TrialView
from tests.support.cluster_sweeps import faults, jobs, until
from tests.support.installation import Installation

pytestmark = pytest.mark.cluster

EXAMPLES = Path(__file__).parents[2] / "examples"
DIGITS = EXAMPLES / "digits.yaml"
OWN = EXAMPLES / "own_model" / "own.yaml"
TRIALS = 12
SETS = (
    *("--set", f"budget.trials={TRIALS}"),
    *("--set", "budget.parallel=3"),
    # Parameters that no history decides, and no trial cut off by another: comparable anywhere.
    *("--set", "search.sampler=grid"),
    *("--set", "search.pruner=none"),
    *("--set", "search.space={learning_rate: [0.001, 0.003, 0.01, 0.03], dropout: [0, 0.2, 0.4]}"),
)
RUN_SECONDS = 900
AWAY_SECONDS = 30.0
"""How long the bucket is away."""


@dataclass(kw_only=True)
class Laptop:
    """The command line as it is typed far from the cluster.

    Args:
        folder: where it is typed; also its home.
        environment: how it finds the server.
    """

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def begin(self, *words: str) -> subprocess.Popen[str]:
        """A command that goes on beside the test."""
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "modelyard.cli", *words],
            cwd=self.folder,
            env={
                **os.environ,
                "COLUMNS": "200",
                "MODELYARD_HOME": str(self.folder / "home"),
                **self.environment,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def type(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command run to its end."""
        process = self.begin(*words)
        out, error = process.communicate(timeout=RUN_SECONDS)
        return subprocess.CompletedProcess(words, process.returncode, out, error)


@pytest.fixture(scope="module")
def laptop(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Laptop:
    """One with the server's address and key."""
    return Laptop(
        folder=tmp_path_factory.mktemp("laptop"),
        environment={
            "MODELYARD_SERVER": installation.address,
            "MODELYARD_API_KEY": installation.api_key,
        },
    )


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a run through all the kills came to."""

    told: dict[str, Any]
    sweep: SweepView
    trials: list[TrialView]
    said: str


@pytest.fixture(scope="module")
def run(installation: Installation, laptop: Laptop) -> Run:
    """The digits, while flow, databases, servers and bucket are killed one after the other."""
    with installation.client() as client:
        earlier = {view.id for view in client.sweeps()}
    process = laptop.begin("run", str(DIGITS), "--on", "cluster", *SETS, "--json")
    try:
        with installation.client() as client:
            sweep = until(
                lambda: next(v.id for v in client.sweeps() if v.id not in earlier), "the sweep"
            )
            for number, kill in enumerate(kills(installation)):
                until(lambda n=number: client.sweep(sweep).counts.ended > n, f"trial {number}")
                kill()
        out, said = process.communicate(timeout=RUN_SECONDS)
    finally:
        process.kill()
    assert process.returncode == 0, said
    with installation.client() as client:
        return Run(
            told=json.loads(out), sweep=client.sweep(sweep), trials=client.trials(sweep), said=said
        )


def kills(installation: Installation) -> Iterator[Callable[[], object]]:
    """What is killed after the first, second, … trial."""

    def pods(selector: str) -> Callable[[], object]:
        wanted = ("-l", selector, "--grace-period=0", "--force", "--wait=false")
        return lambda: installation.kubectl("delete", "pod", *wanted)

    def postgres() -> None:  # SIGQUIT: immediate shutdown, to be recovered from at its start
        installation.kubectl("exec", "postgres-0", "--", "sh", "-c", "kill -QUIT 1")

    def bucket() -> None:
        back = time.monotonic() + AWAY_SECONDS
        installation.kubectl("scale", "statefulset", "minio", "--replicas=0")
        until(lambda: time.monotonic() > back, "the bucket was away")
        installation.kubectl("scale", "statefulset", "minio", "--replicas=1")

    yield pods("app.kubernetes.io/name=modelyard-flow")
    yield postgres
    yield pods("app.kubernetes.io/name=modelyard,modelyard/inside=true")
    yield lambda: faults("restart", "kube-apiserver")
    yield bucket


def test_exactly_the_trials_asked_for_through_all_the_kills(run: Run) -> None:
    """Each trial reached one end, none was lost or charged for a kill; the run ended with 0."""
    assert run.sweep.state == "complete"
    assert [(t.number, t.state.value) for t in run.trials] == [
        (number, "complete") for number in range(TRIALS)
    ]
    assert run.sweep.counts.complete == run.sweep.total == TRIALS


def test_the_run_ends_with_a_registered_version(run: Run) -> None:
    """Said to whoever followed it, with its gates and a word on where it will serve."""
    version = run.told["version"]

    assert "champion" in version["aliases"]
    assert version["metrics"]["accuracy"] >= 0.97
    assert all(gate["passed"] for gate in version["gates"])
    assert run.told["serving"] is None


def test_nothing_of_the_sweep_is_left_on_the_cluster(installation: Installation, run: Run) -> None:
    """Neither Job nor pod nor the Secret with its token."""
    until(lambda: not jobs(installation, run.sweep.id), "no Job is left", 60)

    ours = f"modelyard/sweep={run.sweep.id}"
    for kind in ("pods", "secrets"):
        until(lambda kind=kind: not installation.items(kind, ours), f"no {kind} are left", 60)


def test_the_study_is_in_postgres(installation: Installation, run: Run) -> None:
    """One Optuna trial for each, all complete, under the sweep's id."""
    query = (
        "select t.state, count(*) from public.trials t join public.studies s using (study_id) "
        f"where s.study_name = '{run.sweep.id}' group by t.state"
    )

    assert installation.sql(query) == f"COMPLETE|{TRIALS}"


def test_artifacts_are_in_the_bucket(installation: Installation, run: Run) -> None:
    """The winner's model and the version lie there, each with the manifest of its digests."""
    access, secret = installation.s3_keys
    bucket = boto3.client(
        "s3", endpoint_url=installation.s3, aws_access_key_id=access, aws_secret_access_key=secret
    )
    found = bucket.get_paginator("list_objects_v2").paginate(Bucket="modelyard")
    keys = [item["Key"] for page in found for item in page.get("Contents", ())]

    best = run.told["sweep"]["best"]["number"]
    assert any(k.startswith(f"sweeps/{run.sweep.id}/{best}/") for k in keys)
    assert any(k.startswith("mlflow/") and k.endswith("manifest.json") for k in keys)


def test_runs_are_in_mlflow(installation: Installation, run: Run) -> None:
    """A run a trial, finished, with its metric at every epoch once."""
    answer = httpx.post(
        f"{installation.tracking}/api/2.0/mlflow/runs/search",
        json={
            "experiment_ids": _experiments(installation),
            "filter": f"tags.`modelyard.sweep` = '{run.sweep.id}' "
            "and tags.`modelyard.kind` = 'trial'",
            "max_results": 1000,
        },
        trust_env=False,
        timeout=30,
    )
    runs = answer.raise_for_status().json()["runs"]

    assert [one["info"]["status"] for one in runs] == ["FINISHED"] * TRIALS
    for one in runs:
        history = httpx.get(
            f"{installation.tracking}/api/2.0/mlflow/metrics/get-history",
            params={"run_id": one["info"]["run_id"], "metric_key": "validation_accuracy"},
            trust_env=False,
            timeout=30,
        ).json()["metrics"]
        steps = [int(point["step"]) for point in history]
        assert steps == sorted(set(steps)) == list(range(1, max(steps) + 1))


def _experiments(installation: Installation) -> list[str]:
    answer = httpx.post(
        f"{installation.tracking}/api/2.0/mlflow/experiments/search",
        json={"max_results": 100},
        trust_env=False,
        timeout=30,
    )
    return [one["experiment_id"] for one in answer.raise_for_status().json()["experiments"]]


def test_the_same_experiment_here_gives_the_same_numbers(run: Run, tmp_path: Path) -> None:
    """Every configuration's metrics are identical on this machine, to the last bit."""
    laptop = Laptop(folder=tmp_path)
    done = laptop.type("run", str(DIGITS), "--on", "local", *SETS, "--set", "deploy=null")
    try:
        assert done.returncode == 0, done.stderr
        trials = json.loads(laptop.type("trials", "digits", "--json").stdout)
    finally:
        laptop.type("down")

    there = {tuple(sorted(t.parameters.items())): (t.metrics, t.step) for t in run.trials}
    here = {tuple(sorted(t["parameters"].items())): (t["metrics"], t["step"]) for t in trials}
    assert len(here) == TRIALS
    assert here == there


def test_the_laptop_sees_it_all_again(laptop: Laptop, run: Run) -> None:
    """Status, logs and versions by name; --continue of what is complete says so and ends 0."""
    status = laptop.type("status", "digits", "--json")
    logs = laptop.type("logs", "digits", "prepare")
    again = laptop.type("run", str(DIGITS), "--on", "cluster", *SETS, "--continue")

    assert json.loads(status.stdout)["id"] == run.sweep.id
    assert logs.returncode == 0, logs.stderr
    assert again.returncode == 0, again.stderr
    assert run.sweep.id in again.stdout + again.stderr


def test_a_model_of_ones_own_goes_all_the_way(laptop: Laptop) -> None:
    """Its folder travels by digest; trials, evaluation and server import it in their images."""
    small = ("--set", "budget.trials=2", "--set", "budget.parallel=2", "--set", "train.epochs=3")
    done = laptop.type(
        *("run", str(OWN), "--on", "cluster", *small, "--set", "gates=[]", "--json"),
        *("--set", "resources.cpus=0.2"),
    )

    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["sweep"]["counts"]["complete"] + told["sweep"]["counts"]["pruned"] == 2
    assert len(told["version"]["tags"]["modelyard.code"]) == 64
    assert "champion" in told["version"]["aliases"]
