"""The training engine on a cluster: every kind of data, and trials of several nodes."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest

from modelyard.api import TrialView
from modelyard.client import Client
from modelyard.data.prepare import prepare
from modelyard.data.snapshot import open_snapshot
from modelyard.experiment.load import experiment_from
from modelyard.store.folder import FolderStore
from modelyard.train.fit import FitJob, fit
from tests.support.cluster_sweeps import begin, pods, small, states, until
from tests.support.fitting import Recorder
from tests.support.installation import Installation

pytestmark = pytest.mark.cluster

FIXED = {
    "sampler": "random",
    "pruner": "none",
    "space": {"learning_rate": {"choice": [0.01]}},
}
"""A sweep of one configuration."""
ONE = {"search": FIXED, "budget": {"trials": 1}}
WORDS = {"lively": ("bright", "warm", "dancing"), "gloomy": ("dark", "cold", "weary")}


@dataclass(frozen=True, kw_only=True)
class Tried:
    """A sweep's only trial on the cluster, and the experiment as it would be written here."""

    here: dict[str, Any]
    trial: TrialView


def texts(folder: Path) -> Path:
    """A table of sentences, each of one mood."""
    file = folder / "moods.csv"
    with file.open("w", newline="") as sink:
        rows = csv.writer(sink)
        rows.writerow(("text", "mood"))
        for number in range(40):
            for mood, words in WORDS.items():
                rows.writerow((f"a {words[number % 3]} day, number {number}", mood))
    return file


def experiments(folder: Path) -> dict[str, dict[str, Any]]:
    """One experiment for each kind of data, quick."""
    source = {"source": str(texts(folder)), "kind": "text", "target": "mood"}
    return {
        "image": small("kinds-image", data={"source": "sklearn:digits"}, model="cnn", **ONE),
        "table": small(
            "kinds-table", data={"source": "sklearn:wine"}, model="gradient-boosting", **ONE
        ),
        "text": small("kinds-text", data=source, model="gru", **ONE),
    }


@pytest.fixture(scope="module")
def tried(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tried]:
    """All of them, at once."""
    folder = tmp_path_factory.mktemp("kinds")
    wanted = experiments(folder)
    with installation.client() as client:
        digest = client.upload(folder / "moods.csv", "moods.csv")
        there = dict(wanted)
        data = {**wanted["text"]["data"], "source": f"upload:{digest}/moods.csv"}
        there["text"] = {**wanted["text"], "data": data}
        sweeps = {kind: begin(client, experiment) for kind, experiment in there.items()}
        for sweep in sweeps.values():
            client.wait_stage(sweep, "sweep")
        return {
            kind: Tried(here=wanted[kind], trial=client.trials(sweep)[0])
            for kind, sweep in sweeps.items()
        }


def starts(client: Client, sweep: str) -> list[int | None]:
    """Each start of the complete trial 0: the epoch that it went on from, None for a fresh one."""
    said = (event.body for event in client.events(sweep) if event.task == "0")
    before = takewhile(lambda body: body["kind"] != "result", said)
    return [body["resumed_epoch"] for body in before if body["kind"] == "started"]


def fitted_here(experiment: dict[str, Any], folder: Path, **train: Any) -> dict[str, float]:
    """The validation metrics of the same configuration in this process."""
    wanted = experiment_from(experiment)
    wanted = wanted.model_copy(update={"train": wanted.train.model_copy(update=train)})
    store = FolderStore()
    prepared = prepare(
        wanted.data, seed=wanted.seed, base=folder, store=store, store_base=folder.as_uri()
    )
    job = FitJob(
        snapshot=open_snapshot(store.fetch(prepared.uri)),
        experiment=wanted,
        family=wanted.model.family,
        parameters={"learning_rate": 0.01},
        seed=wanted.seed,
        epochs=wanted.trial_epochs,
        scratch=folder / "scratch",
    )
    return fit(job, Recorder()).metrics


@pytest.mark.parametrize("kind", ["image", "table", "text"])
def test_the_same_configuration_here_gives_the_same_numbers(
    tried: dict[str, Tried], kind: str, tmp_path: Path
) -> None:
    """Images, tables and texts: identical metrics, to the last bit."""
    trial = tried[kind].trial

    assert trial.state.value == "complete", trial.failure
    assert trial.metrics == fitted_here(tried[kind].here, tmp_path)


def test_two_nodes_fit_one_model(installation: Installation, tmp_path: Path) -> None:
    """A pod each, one report; what they come to is one process with the doubled batch."""
    wanted = small(
        "two-nodes",
        data={"source": "sklearn:digits"},
        model={"family": "mlp", "parameters": {"norm": "none"}},
        resources={"gpus": 1, "nodes": 2, "cpus": 0.2, "memory": "1Gi"},
        train={"epochs": 3, "batch_size": 32},
        **ONE,
    )
    with installation.client() as client:
        sweep = begin(client, wanted)
        until(lambda: len(pods(installation, sweep, "0")) == 2, "two pods")
        client.wait_stage(sweep, "sweep")
        (trial,) = client.trials(sweep)
        begun = starts(client, sweep)

    assert states([trial]) == [(0, "complete")], trial.failure
    assert begun == [None]
    alone = fitted_here(wanted, tmp_path, batch_size=64)
    assert trial.metrics == pytest.approx(alone, rel=1e-3)


def test_the_end_of_any_node_ends_the_launch(installation: Installation) -> None:
    """Its second pod killed, the trial goes on with two new ones from its last checkpoint."""
    wanted = small(
        "lost-node",
        data={"source": "sklearn:digits"},
        resources={"gpus": 1, "nodes": 2, "cpus": 0.2, "memory": "1Gi"},
        train={"epochs": 200, "checkpoint_every": 1},
        **ONE,
    )
    with installation.client() as client:
        sweep = begin(client, wanted)
        until(lambda: client.trials(sweep)[0].step, "a first epoch")
        second = next(
            pod["metadata"]["name"]
            for pod in pods(installation, sweep, "0")
            if pod["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"] == "1"
        )
        installation.kubectl("delete", "pod", second, "--grace-period=0", "--force")
        client.wait_stage(sweep, "sweep")
        (trial,) = client.trials(sweep)
        fresh, resumed = starts(client, sweep)

    assert (trial.state.value, trial.launches) == ("complete", 2), trial.failure
    assert fresh is None
    assert resumed is not None
    assert resumed >= 1
