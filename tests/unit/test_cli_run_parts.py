"""The parts of a run: which sweep, whose, from where, and what a signal does."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from http import HTTPStatus
from pathlib import Path

import pytest

from modelyard.cli import deployments, up, waits
from modelyard.cli.background import Background
from modelyard.cli.boot import Boot
from modelyard.cli.choose import Chosen, differences
from modelyard.cli.deployments import deployment_names, prefect_file
from modelyard.cli.display import Display, PlainDisplay, display_for
from modelyard.cli.flow import FlowChild
from modelyard.cli.lineage import lineage
from modelyard.cli.owner import this_process
from modelyard.cli.run import ORDERLY_SECONDS, LocalRun, Wanted
from modelyard.cli.servers import Attached
from modelyard.cli.signals import InterruptOnce
from modelyard.cli.supervise import Supervision
from modelyard.cli.terminal import console
from modelyard.errors import (
    InputError,
    Interrupted,
    ModelyardError,
    ServerRefused,
    ServerUnreachable,
)
from modelyard.experiment.model import Experiment
from modelyard.local.services import Service
from modelyard.settings import Settings
from tests.support.cluster_wire import view


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=n", "-c", "user.email=e@x", "-c", "commit.gpgsign=false"]
    done = subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments],
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def test_differences_name_each_key_with_both_values() -> None:
    """Nested keys are dotted; equal ones are left out; a key that is new shows None before."""
    old = {"budget": {"trials": 6, "hours": None}, "seed": 7, "gates": []}
    new = {"budget": {"trials": 7, "hours": None}, "seed": 7, "gates": [], "fallback": "local"}

    assert differences(old, new) == ["budget.trials: 6 became 7", "fallback: None became 'local'"]
    assert differences(old, old) == []


def test_lineage_knows_commit_and_changes(tmp_path: Path) -> None:
    """A file in a checkout carries the commit, and whether tracked files differ from it."""
    file = tmp_path / "x.yaml"
    file.write_text("a")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "x.yaml")
    git(tmp_path, "commit", "-q", "-m", "first")
    clean = lineage(file)
    file.write_text("b")

    assert clean["git_commit"] == git(tmp_path, "rev-parse", "HEAD")
    assert (clean["git_dirty"], lineage(file)["git_dirty"]) == ("false", "true")
    assert clean["file"] == str(file)


def test_lineage_outside_a_checkout_has_no_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without Git there is still the file, the user and the host."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))

    assert set(lineage(tmp_path / "x.yaml")) == {"file", "user", "host"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_interrupts_and_the_second_does_nothing(number: signal.Signals) -> None:
    """Cleaning up after Ctrl-C isn't cut off by another Ctrl-C, and handlers are restored."""
    before = signal.getsignal(number)
    with InterruptOnce():
        with pytest.raises(Interrupted):
            os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)

    assert signal.getsignal(number) == before


def test_a_disarmed_interrupt_does_nothing() -> None:
    """While the end is being put in order no signal raises."""
    with InterruptOnce() as signals:
        signals.disarm()
        os.kill(os.getpid(), signal.SIGINT)


def test_background_returns_and_raises_what_its_call_did() -> None:
    """Result and error wait until somebody asks."""

    def fail() -> int:
        raise InputError("no")

    go = threading.Event()
    waiting = Background(go.wait)
    assert not waiting.done
    go.set()

    assert waiting.result() is True
    with pytest.raises(InputError, match="no"):
        Background(fail).result()


def test_the_line_to_go_on_can_be_pasted() -> None:
    """It repeats file and overrides, quoted for a shell."""
    wanted = Wanted(file=Path("my file.yaml"), sets=("gates=[]", "budget.trials=3"))

    assert wanted.line_to_go_on == (
        "modelyard run 'my file.yaml' --set 'gates=[]' --set budget.trials=3 --continue"
    )


def test_commands_name_the_program_as_the_shell_finds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is printed can be pasted into the same shell: by name only where that is this one."""
    ours, others = tmp_path / "my env" / "modelyard", tmp_path / "bin" / "modelyard"
    for made in (ours, others):
        made.parent.mkdir()
        made.write_text("#!/bin/sh\n")
        made.chmod(0o700)
    monkeypatch.setattr(sys, "argv", [str(ours), "run"])

    def typed(path: Path) -> str:
        monkeypatch.setenv("PATH", str(path))
        return Wanted(file=Path("a.yaml")).line_to_go_on

    assert typed(ours.parent) == "modelyard run a.yaml --continue"
    assert typed(others.parent) == f"'{ours}' run a.yaml --continue"
    assert typed(tmp_path) == f"'{ours}' run a.yaml --continue"


def test_the_checkouts_deployments_are_sound() -> None:
    """prefect.yaml at the repository's root has no key that Prefect would read over."""
    assert prefect_file() == Path(__file__).parents[2] / "prefect.yaml"
    assert deployment_names(prefect_file()) == ("pipeline",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("deployments: [{name: a, entrypoint: b, work_pool: {name: c}, tag: [x]}]", "tag"),
        ("deployments: [{name: a, entrypoint: b, work_pool: {nam: c}}]", "work_pool.nam"),
        ("deployment: []", "deployment"),
        ("deployments: [", "can't be read"),
    ],
)
def test_keys_that_prefect_would_read_over_are_refused(
    text: str, said: str, tmp_path: Path
) -> None:
    """A typing error in prefect.yaml is named."""
    file = tmp_path / "prefect.yaml"
    file.write_text(text)

    with pytest.raises(InputError, match=said):
        deployment_names(file)


def test_a_prefect_that_takes_too_long_for_deployments_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With what to do, and no traceback."""
    monkeypatch.setattr(deployments, "DEPLOY_SECONDS", 0.0)
    with pytest.raises(ModelyardError, match=r"within 0 s; `modelyard up` tries again"):
        deployments.deploy_all(prefect_file(), os.environ, lambda _: None)


def test_a_prefect_that_takes_long_for_deployments_is_said_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is waited for, and until when: it ends here only once that is said."""
    monkeypatch.setattr(waits, "LONG_SECONDS", 0.0)
    monkeypatch.setattr(deployments.sys, "executable", str(tmp_path / "prefect"))
    (tmp_path / "prefect").write_text(f"#!/bin/sh\nread line < {tmp_path}/said\n")
    (tmp_path / "prefect").chmod(0o700)
    os.mkfifo(tmp_path / "said")
    said: list[str] = []

    def say(sentence: str) -> None:
        said.append(sentence)
        if len(said) == 2:
            os.write(held, b"\n")

    held = os.open(tmp_path / "said", os.O_RDWR)  # open at both ends: nobody waits to open it
    try:
        deployments.deploy_all(tmp_path / "prefect.yaml", os.environ, say)
    finally:
        os.close(held)

    assert said[0] == f"making the deployments of {tmp_path / 'prefect.yaml'}"
    awaited = r"waiting for Prefect to make the deployments, until \d\d:\d\d:\d\d at the latest"
    assert re.fullmatch(awaited, said[1])


def test_a_prefect_that_does_not_answer_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a sentence with what to do, and no traceback."""
    monkeypatch.setattr(up, "ANSWER_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ModelyardError, match=rf"at {address}.*Timeout.*`modelyard up` asks"):
            up._deployed(address, lambda _: None)


def test_a_flow_that_takes_long_to_end_is_said_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is waited for, and until when; nothing is said of one that ends soon."""
    spoken = threading.Event()

    class Said(PlainDisplay):
        def say(self, sentence: str) -> None:
            assert sentence.startswith("waiting for the flow to tell Prefect its end, until ")
            spoken.set()

    class Child(FlowChild):
        def wait(self, seconds: float) -> None:
            """It ends once it is said to be waited for, or when it is to be killed."""
            spoken.wait(seconds)

    monkeypatch.setattr(waits, "LONG_SECONDS", 3600.0)
    supervision = supervising(tmp_path, Said(console(), "accuracy"))
    supervision._child = Child("aaaaaaaa", after=None, paths=Settings(home=tmp_path).paths)
    supervision.close(0.0)
    early = spoken.is_set()
    monkeypatch.setattr(waits, "LONG_SECONDS", 0.0)
    supervision.close()

    assert (early, spoken.is_set()) == (False, True)


def test_a_server_that_ended_is_said_whoever_finds_out_first(tmp_path: Path) -> None:
    """Those who ask it only know that it doesn't answer; that it has ended says more."""
    supervision = supervising(tmp_path, display_for(console(json_output=True), "accuracy"))
    supervision._news.put(ServerUnreachable("the Modelyard server doesn't answer"))

    with pytest.raises(ServerUnreachable, match="the Modelyard server ended, and its trials"):
        supervision.run()
    supervision.close()


def test_a_run_that_stood_still_leaves_its_sweep_to_the_run_that_took_it(tmp_path: Path) -> None:
    """The sweep isn't interrupted, and counts among those that still use the servers."""
    boot = NoBoot()
    run = LocalRun(
        wanted=Wanted(file=tmp_path / "x.yaml"),
        settings=Settings(home=tmp_path),
        experiment=Experiment.model_validate({"name": "x", "data": {"source": "sklearn:iris"}}),
        boot=boot,
        chosen=Chosen(view=view()),
        supervision=Aside(),
    )

    run.abandon(ServerRefused(HTTPStatus.CONFLICT, "owned by process 7"))

    assert boot.ended == [(None, ORDERLY_SECONDS)]


def supervising(home: Path, display: Display) -> Supervision:
    """A run's, whose server has ended."""
    return Supervision(
        settings=Settings(home=home),
        boot=NoBoot(),
        server=Service(name="server", process=2**22 - 7, started=1.0, address="http://127.0.0.1:1"),
        chosen=Chosen(view=view()),
        owner=this_process(),
        display=display,
    )


class Aside(Supervision):
    """One whose sweep is another's by now."""

    def __init__(self) -> None:
        self.last = view()

    def ask_flow_to_end(self) -> None:
        """There is none."""

    def close(self, flow_seconds: float = 0.0) -> None:
        """Nothing is open."""


class NoBoot(Boot):
    """No server is started: the one of the test has ended."""

    def __init__(self) -> None:
        self.prefect = self.again()
        self.ended: list[tuple[str | None, float]] = []

    def end(self, *, sweep: str | None, grace_seconds: float) -> bool:
        """Nothing is; the sweep is noted that counts as the run's own."""
        self.ended.append((sweep, grace_seconds))
        return False

    def again(self) -> Background[Attached]:
        return Background(lambda: threading.Event().wait())
