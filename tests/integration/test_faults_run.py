"""Bad luck in the middle of real runs: what the user is told, and what is kept.

One installation is shared, because its servers take long to start: the fixture starts it with
two runs at once, and each test leaves it able to run.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from modelyard.api import SweepState, TrialState, TrialView
from modelyard.local import services
from tests.support.faults import DEADLINE_SECONDS, Running, Said, Yard, dead, until
from tests.support.held import FAMILY, Held
from tests.support.machine import small_disk, taken

pytestmark = [pytest.mark.integration, pytest.mark.slow]

DIGITS = {"source": "sklearn:digits"}

PORTS = {"server": 4300, "prefect": 4200}
"""Preferred by our server and Prefect's."""


@dataclass(frozen=True, kw_only=True)
class Both:
    """What two runs at once came to.

    Args:
        said: by each.
        taken: ports that were held for all that time; another test's server may have others.
    """

    said: tuple[Said, Said]
    taken: list[int]

    @property
    def text(self) -> str:
        """What both said."""
        return "".join(said.text for said in self.said)


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    """A home in which a trial counts as hung after ten seconds; nothing is left of it."""
    folder = tmp_path_factory.mktemp("faults")
    yard = Yard(
        folder=folder,
        home=folder / "home",
        environment={"MODELYARD_HUNG_TRAINING_SECONDS": "10"},
    )
    yield yard
    yard.down()


@pytest.fixture(scope="module")
def both(yard: Yard) -> Both:
    """Two runs of one file at once in the fresh home, while the preferred ports are taken."""
    file = yard.experiment("both", budget={"trials": 2, "parallel": 64})
    with taken(*PORTS.values()) as ports:
        first, second = yard.begin("run", file), yard.begin("run", file)
        return Both(said=(first.ended(), second.ended()), taken=ports)


BROKEN = """
from torch import nn


class Net(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.layer = nn.Linear(inputs[0], outputs)

    def forward(self, examples):
        raise OverflowError("a layer of it is too wide")
"""
"""A model with a mistake."""


def held(yard: Yard, name: str, *, epochs: int, **budget: int) -> tuple[Path, Held]:
    """An experiment whose trials train two epochs and are then held, ten seconds for each."""
    folder = yard.folder / f"{name}-code"
    model = Held(folder, quick=50)
    train = {"epochs": epochs, "batch_size": 64}
    file = yard.experiment(name, data=DIGITS, model=FAMILY, train=train, budget=budget)
    return file.rename(folder / file.name), model


def trains(yard: Yard, sweep: str, trials: int = 2) -> list[TrialView]:
    """The trials of a sweep, once so many of them have finished an epoch and not yet ended."""
    found = yard.trials(sweep)
    training = [t for t in found if t.step and t.state is TrialState.RUNNING]
    return found if len(training) >= trials else []


def flow_of(run: Running) -> psutil.Process:
    """The process of a run's flow."""
    children = psutil.Process(run.process.pid).children()
    return next(child for child in children if "modelyard.flows.child" in child.cmdline())


def test_two_runs_of_one_study_at_once_are_two_whole_sweeps(yard: Yard, both: Both) -> None:
    """Started together in a fresh home, they share its servers, and each has all its trials."""
    with yard.client() as client:
        sweeps = [view for view in client.sweeps() if view.name == "both"]
        trials = [[trial.number for trial in client.trials(view.id)] for view in sweeps]

    assert [said.code for said in both.said] == [0, 0], both
    assert [view.state for view in sweeps] == [SweepState.COMPLETE] * 2
    assert trials == [[0, 1]] * 2
    assert {n for n in (1, 2) if f"both version {n} (" in both.text} == {1, 2}


def test_a_taken_port_is_replaced_and_said(yard: Yard, both: Both) -> None:
    """Whoever started a server says that its port was taken; it is up on another."""
    for name, port in PORTS.items():
        if port in both.taken:
            # Said again where the next port was taken meanwhile, too.
            assert f"(port {port} is taken)" in both.text
            service = services.running(name, yard.paths)
            assert service is not None
            assert urlsplit(service.address).port != port


def test_more_parallel_than_the_machine_has_is_said(both: Both) -> None:
    """It is done as asked, with a sentence about what it costs."""
    assert all(said.holds("64 trials at once on", "slower") for said in both.said)


@pytest.mark.usefixtures("both")
def test_a_taken_port_of_a_model_is_refused_by_name(yard: Yard) -> None:
    """A port that the file asks for isn't replaced: who holds it is said, exit code 1."""
    with taken(0) as (port,):
        file = yard.experiment("held", deploy={"target": "local", "port": port})
        said = yard.type("run", file)

    assert said.code == 1
    assert said.holds(f"deploy failed: port {port} on 127.0.0.1 is held by", "deploy.port")
    assert services.running("model-held", yard.paths) is None


@pytest.mark.usefixtures("both")
def test_a_diverged_trial_is_failed_and_never_best(yard: Yard) -> None:
    """Step and learning rate are said; the others go on, and the best is one of them."""
    file = yard.experiment(
        "nan",
        data={"source": "sklearn:diabetes"},
        objective={"metric": "rmse", "goal": "minimize"},
        search={"sampler": "grid", "pruner": "none", "space": {"learning_rate": [1e-3, 1e6]}},
        train={"epochs": 2, "optimizer": "sgd", "loss": "mse"},
    )

    said = yard.type("run", file)

    sweep, trials = yard.sweep("nan"), yard.trials("nan")
    assert said.code == 0
    assert said.holds("the loss became nan at step", "lower learning_rate")
    assert {t.parameters["learning_rate"]: t.state.value for t in trials} == {
        1e-3: "complete",
        1e6: "failed",
    }
    assert sweep.best is not None
    assert sweep.best.parameters["learning_rate"] == 1e-3


@pytest.mark.usefixtures("both")
def test_trials_that_raise_are_failed_with_their_traceback(yard: Yard) -> None:
    """With no trial left the run ends with 1 and says why; the logs hold the traceback."""
    folder = yard.folder / "raises-code"
    folder.mkdir()
    (folder / "broken.py").write_text(BROKEN)
    file = yard.experiment("raises", data=DIGITS, model="broken.py:Net", budget={"trials": 2})

    said = yard.type("run", file.rename(folder / file.name))
    logs = yard.type("logs", "raises", "0")

    assert said.code == 1
    assert said.holds("None of the 2 trials ran to its end", "OverflowError", "traceback")
    assert [trial.state.value for trial in yard.trials("raises")] == ["failed", "failed"]
    assert logs.holds("Traceback (most recent call last)", "OverflowError")


@pytest.mark.usefixtures("both")
def test_killed_and_hung_trials_and_a_killed_fork_server_cost_no_trial(yard: Yard) -> None:
    """kill -9 of a trial, a trial that says nothing any more, and kill -9 of what they are
    forked from: each trial goes on with its next launch, and the run ends as if nothing was."""
    file, model = held(yard, "hurt", epochs=80, trials=2, parallel=2)
    run = yard.begin("run", file)
    until(lambda: trains(yard, "hurt"), "both trials train")
    sweep = yard.sweep("hurt").id
    killed, hung = yard.launch(sweep, "0"), yard.launch(sweep, "1")

    killed.kill()
    hung.suspend()
    until(lambda: all(t.launches >= 2 for t in yard.trials("hurt")), "two new launches")
    until(lambda: dead(hung), "the end of the hung process")
    until(lambda: yard.launch(sweep, "0") and yard.launch(sweep, "1"), "their processes")
    fork_server = yard.fork_server()
    fork_server.kill()
    until(lambda: max(t.launches for t in yard.trials("hurt")) >= 3, "a third launch")
    model.let_go()
    said = run.ended()

    assert said.code == 0, said.text
    trials = yard.trials("hurt")
    assert [(t.number, t.state.value) for t in trials] == [(0, "complete"), (1, "complete")]
    assert dead(fork_server)


@pytest.mark.usefixtures("both")
def test_a_snapshot_that_changed_stops_the_sweep(yard: Yard) -> None:
    """No model learns from it, no trial is charged; as it was again, --continue completes."""
    file, model = held(yard, "changed", epochs=40, trials=4, parallel=1)
    run = yard.begin("run", file)
    until(lambda: trains(yard, "changed", 1), "a first trial")
    snapshot = urlsplit(str(yard.sweep("changed").stages[0].outcome["snapshot"])).path
    images = Path(snapshot) / "images.npy"
    whole = images.read_bytes()

    # at once, as a trial that has begun may be reading it
    changed = yard.folder / "images.npy"
    changed.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    changed.replace(images)
    model.let_go()
    said = run.ended()
    stopped = yard.sweep("changed").counts
    images.write_bytes(whole)
    done = yard.type("run", file, "--continue")

    assert said.code == 1
    assert said.holds(f"{images} changed after its digest was taken", "--continue")
    assert (stopped.failed, stopped.complete) == (0, stopped.ended)
    assert done.code == 0, done.text
    assert yard.sweep("changed").counts.complete == 4


@pytest.mark.usefixtures("both")
def test_a_full_disk_stops_the_sweep_and_keeps_what_there_is(yard: Yard) -> None:
    """The full folder is named, no trial is charged; with space again --continue completes."""
    trials = {"trials": 6, "parallel": 1}
    file = yard.experiment("full", data=DIGITS, budget=trials, train={"epochs": 3})
    with small_disk(yard.paths.artifacts / "sweeps", "2m") as grow:
        said = yard.type("run", file)
        before = yard.trials("full")
        grow("64m")
        done = yard.type("run", file, "--continue")
        after = yard.trials("full")

    kept = [t for t in before if t.state is TrialState.COMPLETE]
    assert said.code == 1
    assert said.holds("can't be written: the disk is full", "--continue")
    assert kept
    assert {t.state for t in before} <= {TrialState.COMPLETE, TrialState.WAITING}
    assert done.code == 0, done.text
    assert [(t.number, t.state.value) for t in after] == [(n, "complete") for n in range(6)]
    assert [t.values for t in after[: len(kept)]] == [t.values for t in kept]


@pytest.mark.usefixtures("both")
def test_a_locked_database_ends_the_run_with_a_line_to_go_on(yard: Yard) -> None:
    """The file and the cause are said; once it is free, --continue does the rest."""
    file, model = held(yard, "locked", epochs=40, trials=3, parallel=1)
    run = yard.begin("run", file)
    until(lambda: trains(yard, "locked", 1), "a first trial")

    with closing(journal_of(yard)) as other:
        other.execute("begin exclusive")
        said = run.ended()
    model.let_go()
    done = yard.type("run", file, "--continue")

    assert said.code == 1
    assert said.holds(f"The journal {yard.paths.journal} failed: it is locked", "--continue")
    assert done.code == 0, done.text
    assert [(t.number, t.state.value) for t in yard.trials("locked")] == [
        (n, "complete") for n in range(3)
    ]


@pytest.mark.usefixtures("both")
def test_server_flow_and_fork_server_killed_at_once_lose_nothing(yard: Yard) -> None:
    """kill -9 of all three: the run says so and ends, its processes too; --continue goes on,
    with no trial lost and none counted twice."""
    file, model = held(yard, "all", epochs=40, trials=4, parallel=2)
    model.let_one_go()
    run = yard.begin("run", file)
    flow = until(lambda: flow_of(run), "the flow")
    until(lambda: yard.sweep("all").counts.ended and trains(yard, "all", 1), "a trial after one")

    kept = [t for t in yard.trials("all") if t.state is TrialState.COMPLETE]
    for process in (yard.service("server"), flow, yard.fork_server()):
        process.kill()
    said = run.ended()
    until(lambda: not others(yard), "Prefect's server alone is left: it was up before")
    model.let_go()
    done = yard.type("run", file, "--continue")

    assert said.code == 1
    assert said.holds("the Modelyard server ended", "--continue")
    assert done.code == 0, done.text
    after = yard.trials("all")
    assert [(t.number, t.state.value) for t in after] == [(n, "complete") for n in range(4)]
    assert kept
    assert all(
        (after[t.number].values, after[t.number].launches) == (t.values, t.launches) for t in kept
    )
    with yard.client() as client:
        assert [view.name for view in client.sweeps()].count("all") == 1


def journal_of(yard: Yard) -> sqlite3.Connection:
    """The journal, as another program opens it: it has to wait for its turn, too."""
    return sqlite3.connect(yard.paths.journal, timeout=DEADLINE_SECONDS, isolation_level=None)


def others(yard: Yard) -> list[str]:
    """Processes of the home that are not Prefect's server."""
    return [process for process in yard.living() if "prefect.server" not in process]
