"""``modelyard run`` as people type it, in one home, with real servers.

The home is shared by the module, because a Prefect server's first start takes long; every test
has a sweep of its own name.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from modelyard.local import services
from modelyard.settings import Paths
from tests.support.held import Held
from tests.support.home import (
    DEADLINE_SECONDS,
    client,
    command,
    document,
    ended_trials,
    environment,
    eventually,
    experiment,
    living,
    whole_home,
)

pytestmark = pytest.mark.integration

QUICK = """
name: {name}
data: {{source: "sklearn:iris"}}
model: mlp
search: {{pruner: none, space: {{learning_rate: {{float: [0.001, 0.01]}}}}}}
budget: {{trials: 2}}
train: {{epochs: 5}}
gates: [{{metric: log_loss, at_most: {gate}}}]
explain: {{seconds: 3600}}
"""

LONG = """
name: {name}
data: {{source: "sklearn:iris"}}
model: {code}/held.py:Net
search: {{pruner: none, space: {{learning_rate: {{float: [0.001, 0.01]}}}}}}
budget: {{trials: 3, parallel: 1}}
train: {{epochs: 60}}
"""


def long(home: Paths, name: str) -> tuple[Path, Held]:
    """A run that is in its midst until its trials are let go."""
    held = Held(home.home.parent / f"{name}-code")
    return experiment(home, LONG, name=name, code=held.code.path), held


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Paths]:
    """One home for the module."""
    with whole_home(tmp_path_factory.mktemp("run")) as paths:
        yield paths


Begin = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def begin(home: Paths) -> Iterator[Begin]:
    """Starts runs that go on beside the test, each in a session of its own."""
    begun: list[subprocess.Popen[str]] = []

    def start(file: Path, *arguments: str) -> subprocess.Popen[str]:
        run = subprocess.Popen(
            [sys.executable, "-m", "modelyard.cli", "run", str(file), *arguments],
            env=environment(home),
            cwd=home.home.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        begun.append(run)
        return run

    yield start
    for run in begun:
        run.kill()
        run.wait()
        assert run.stdout is not None
        run.stdout.close()


def flow_child(run: subprocess.Popen[str]) -> psutil.Process | None:
    children = psutil.Process(run.pid).children()
    return next((c for c in children if "modelyard.flows.child" in c.cmdline()), None)


def test_a_run_ends_with_a_model_that_answers(home: Paths) -> None:
    """One command: champion, its server, the document of it all; then the next version, made here
    because the cluster that it was meant for can't be reached."""
    file = experiment(home, QUICK, name="flowers", gate=10)

    first = command(home, "run", str(file), "--json")
    away = {"MODELYARD_SERVER": "http://127.0.0.1:1"}
    second = command(home, "run", str(file), "--set", "fallback=local", variables=away)

    assert first.returncode == 0, first.stderr
    told = document(first)
    assert told["sweep"]["state"] == "complete"
    assert [s["stage"] for s in told["sweep"]["stages"]][-1] == "deploy"
    assert told["version"]["version"] == 1
    assert told["serving"]["address"].startswith("http://127.0.0.1:")
    assert second.returncode == 0, second.stderr
    for line in ("2/2 trials", "Best 2 of 2", "Gates", "flowers version 2", "modelyard down"):
        assert line in second.stdout
    assert "The cluster could not be reached, so this runs here" in second.stdout
    with client(home) as server:
        assert "127.0.0.1:1" in server.sweep("flowers").tags["fallback"]
    assert "\x1b" not in second.stdout
    to_paste = next(line for line in second.stdout.splitlines() if line.startswith("curl"))
    answer = subprocess.run(to_paste, shell=True, capture_output=True, check=True)
    assert json.loads(answer.stdout)["predictions"]
    example = str(home.models / "flowers" / "example.json")
    predicted = command(home, "predict", "flowers", "--file", example, "--json")
    assert document(predicted) == json.loads(answer.stdout)
    assert_pictured(home)


def assert_pictured(home: Paths) -> None:
    """The model's page is with its MLflow run, and is written where somebody asks for it."""
    folder = home.home.parent / "drawn"
    no_browser = {"PATH": str(folder)}
    reported = command(
        home, "report", "flowers", "--out", str(folder), "--json", variables=no_browser
    )

    written = document(reported)
    assert written["problems"] == ["no Chromium was found on PATH, so there are no PNG files"]
    text = (folder / "report.html").read_text()
    for name in ("history", "confusion", "roc", "importance", "examples", "gradient-flow"):
        assert f'<section id="{name}">' in text
    pages = eventually(lambda: list(home.home.rglob("pictures/report.html")), "a page with the run")
    assert all("Confusion matrix" in page.read_text() for page in pages)


def test_a_refusing_gate_ends_with_3_and_can_be_looked_at(home: Paths) -> None:
    """The version is rejected and nobody serves it; the sweep answers by its name and its id."""
    file = experiment(home, QUICK, name="refused", gate=0)

    refused = command(home, "run", str(file), "--json")
    status = document(command(home, "status", "refused", "--json"))
    trials = json.loads(command(home, "trials", status["id"], "--json").stdout)
    best = json.loads(command(home, "leaderboard", "refused", "--json").stdout)
    logs = command(home, "logs", "refused", "prepare", "--json")

    assert refused.returncode == 3, refused.stderr
    assert document(refused)["version"]["aliases"] == ["rejected"]
    assert document(refused)["serving"] is None
    assert (status["name"], status["counts"]["complete"]) == ("refused", 2)
    assert [trial["number"] for trial in trials] == [0, 1]
    assert best[0]["number"] == status["best"]["number"]
    assert logs.returncode == 0
    assert command(home, "status", "nobody").returncode == 2


def test_a_killed_flow_is_started_again(home: Paths, begin: Begin) -> None:
    """The new flow process goes on with the same flow run, and the run ends as if nothing was;
    meanwhile --continue of the running sweep is bad input."""
    file, held = long(home, "flow-killed")
    run = begin(file, "--json")
    flow = eventually(lambda: flow_child(run), "the flow")
    with client(home) as server:
        attached = eventually(lambda: server.sweep("flow-killed").flow_run, "a flow run")

    flow.kill()
    second = command(home, "run", str(file), "--continue")
    held.let_go()
    said, _ = run.communicate(timeout=DEADLINE_SECONDS)

    assert run.returncode == 0, said
    assert "the flow ended (signal 9); starting it again" in said
    with client(home) as server:
        assert server.sweep("flow-killed").flow_run == attached
    assert (second.returncode, str(run.pid) in second.stderr) == (2, True)


def test_a_killed_server_ends_the_run_with_a_line_to_go_on(home: Paths, begin: Begin) -> None:
    """The run says what happened, ends with 1, and --continue completes the sweep."""
    file, held = long(home, "server-killed")
    held.let_one_go()
    run = begin(file)
    eventually(lambda: ended_trials(home, "server-killed") >= 1, "a first trial")
    server = services.running("server", home)
    assert server is not None

    os.kill(server.process, signal.SIGKILL)
    said, _ = run.communicate(timeout=DEADLINE_SECONDS)
    held.let_go()
    done = command(home, "run", str(file), "--continue", "--json")

    assert run.returncode == 1
    assert "the Modelyard server ended" in said
    assert "--continue" in said
    assert done.returncode == 0, done.stderr
    assert document(done)["sweep"]["counts"]["complete"] == 3


def test_ctrl_c_leaves_no_process_and_continue_does_the_rest(home: Paths, begin: Begin) -> None:
    """Ctrl-C ends all that the run started; --continue keeps what had finished."""
    assert command(home, "down").returncode == 0
    file, held = long(home, "interrupted")
    held.let_one_go()
    run = begin(file)
    eventually(lambda: ended_trials(home, "interrupted") >= 1, "a first trial")

    run.send_signal(signal.SIGINT)
    run.send_signal(signal.SIGINT)
    eventually(lambda: not living(home), "no process after Ctrl-C")
    said, _ = run.communicate(timeout=DEADLINE_SECONDS)

    assert run.returncode == 130, said
    assert f"modelyard run {file} --continue" in said
    assert re.search(r"\d of 3 trials are kept", said)
    held.let_go()
    done = command(home, "run", str(file), "--continue", "--json")
    assert done.returncode == 0, done.stderr
    assert document(done)["sweep"]["counts"]["complete"] == 3
    with client(home) as server:
        assert server.trials(document(done)["sweep"]["id"])[0].launches == 1
    again = command(home, "run", str(file), "--continue", "--json")
    assert (again.returncode, document(again)["sweep"]["id"]) == (
        0,
        document(done)["sweep"]["id"],
    )


def test_a_killed_run_leaves_no_process(home: Paths, begin: Begin) -> None:
    """After kill -9 of the run its servers, trials and flow end by themselves."""
    assert command(home, "down").returncode == 0
    file, held = long(home, "killed")
    held.let_one_go()
    run = begin(file)
    eventually(lambda: ended_trials(home, "killed") >= 1, "a first trial")
    flow = eventually(lambda: flow_child(run), "the flow")

    run.kill()
    run.communicate()

    eventually(lambda: not living(home) and not flow.is_running(), "no process after kill -9")
    eventually(
        lambda: document(command(home, "status", "killed", "--json"))["state"] == "interrupted",
        "the sweep is interrupted",
    )
    assert "cancelled" in command(home, "cancel", "killed").stdout
