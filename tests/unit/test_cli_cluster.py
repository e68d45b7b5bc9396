"""Commands that go to a cluster's server, against that server at the wire."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from blake3 import blake3

from modelyard.api import LogLine, SweepState, SweepView
from modelyard.cli import main
from modelyard.cli.check import load_checked
from modelyard.contract import Document
from modelyard.experiment.load import experiment_from
from tests.support.cluster_wire import EXPERIMENT, KEY, SWEEP, ClusterWire, served, view

Said = tuple[int, str, str]
Type = Callable[..., Said]

FILE = "name: iris\ndata: {source: 'sklearn:iris'}\n"


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Iterator[ClusterWire]:
    """A cluster's server, named by the environment with its key."""
    with served(ClusterWire()) as found:
        monkeypatch.setenv("MODELYARD_SERVER", found.address)
        monkeypatch.setenv("MODELYARD_API_KEY", KEY)
        yield found


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Type:
    """Types a command line: its exit code, standard output and standard error."""

    def call(*arguments: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["modelyard", *arguments])
        code = main.main()
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """An experiment whose data everybody has."""
    found = tmp_path / "iris.yaml"
    found.write_text(FILE)
    return found


@pytest.mark.parametrize(
    "command",
    [["status"], ["trials", SWEEP], ["leaderboard", SWEEP], ["cancel", SWEEP], ["follow", SWEEP]],
    ids=lambda command: command[0],
)
def test_commands_ask_the_clusters_server_without_a_home(
    command: list[str], wire: ClusterWire, typed: Type, tmp_path: Path
) -> None:
    """Named by the environment it is asked, with the key; nothing is made on this machine."""
    code, _, err = typed(*command)

    assert (code, err) == (0, "")
    assert any(SWEEP in asked or "newest" in asked for asked in wire.asked)
    assert not (tmp_path / ".modelyard").exists()


def test_the_home_can_be_meant_all_the_same(wire: ClusterWire, typed: Type) -> None:
    """--on local goes before the environment."""
    code, _, err = typed("status", "--on", "local")

    assert (code, wire.asked) == (2, [])
    assert "nothing was run in" in err


@pytest.mark.parametrize("key", [None, "wrong-key"])
def test_a_key_that_is_missing_or_wrong_says_where_it_comes_from(
    key: str | None, typed: Type, wire: ClusterWire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variable and the Secret are named, the key itself never."""
    monkeypatch.delenv("MODELYARD_API_KEY")
    if key is not None:
        monkeypatch.setenv("MODELYARD_API_KEY", key)
    code, _, err = typed("status")

    assert (code, wire.asked) == (2, ["GET /readyz"])
    assert "MODELYARD_API_KEY" in err
    assert "modelyard-api-key" in err
    assert "wrong-key" not in err


def test_a_key_that_no_header_takes_is_not_shown(
    wire: ClusterWire, typed: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key with a line break in it is refused here, without being quoted."""
    monkeypatch.setenv("MODELYARD_API_KEY", "half\nof it")
    code, _, err = typed("status")

    assert (code, "half" in err) == (2, False)
    assert wire.asked == []


def test_a_cluster_that_does_not_answer(
    file: Path, typed: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One message with the address, but not its password; exit code 1."""
    monkeypatch.setenv("MODELYARD_SERVER", "http://ada:secret@127.0.0.1:1")
    code, _, err = typed("run", str(file))

    assert code == 1
    assert "the Modelyard server at http://127.0.0.1:1 doesn't answer" in err
    assert "secret" not in err


def test_no_cluster_is_known(
    file: Path, typed: Type, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without address and kubeconfig, what to set is said."""
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    code, _, err = typed("run", str(file), "--on", "cluster")

    assert code == 2
    assert "set MODELYARD_SERVER" in err


def test_a_run_is_submitted_and_followed(wire: ClusterWire, typed: Type, file: Path) -> None:
    """The server is asked for a run of what the file says; the end is that of a run here."""
    wire.known = False
    code, out, _ = typed("run", str(file), "--json")

    sent = wire.bodies["/v1/runs"]
    assert code == 0
    assert json.loads(out)["sweep"]["id"] == SWEEP
    assert experiment_from(sent["experiment"]).train == EXPERIMENT.train
    assert sent["tags"]["file"] == str(file)
    assert not [asked for asked in wire.asked if "/v1/sweeps/" in asked and "POST" in asked]


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (SweepState.COMPLETE, 0),
        (SweepState.FAILED, 1),
        (SweepState.REFUSED, 3),
        (SweepState.CANCELLED, 130),
    ],
)
def test_the_exit_code_is_that_of_a_run_here(
    state: SweepState, code: int, wire: ClusterWire, typed: Type, file: Path
) -> None:
    """Whatever became of the sweep."""
    wire.views = [view(), view(state)]

    assert typed("run", str(file))[0] == code


def test_a_table_is_uploaded_once_under_its_digest(
    wire: ClusterWire, typed: Type, tmp_path: Path
) -> None:
    """A file of this machine travels; the experiment names it by digest and name."""
    content = "a,b\n" + "".join(f"{i},{'xy'[i % 2]}\n" for i in range(40))
    (tmp_path / "my table.csv").write_text(content)
    file = tmp_path / "x.yaml"
    file.write_text("name: iris\ndata: {source: my table.csv, target: b}\n")

    codes = [typed("run", str(file))[0], typed("run", str(file))[0]]

    digest = blake3(content.encode()).hexdigest()
    path = f"/v1/uploads/{digest}/my%20table.csv"
    assert codes == [0, 0]
    assert wire.uploads == {path: content.encode()}
    assert [asked for asked in wire.asked if "PUT" in asked] == [f"PUT {path}"]
    data = wire.bodies["/v1/runs"]["experiment"]["data"]
    assert data["source"] == f"upload:{digest}/my table.csv"


def test_data_on_a_mounted_volume_stays_there(
    wire: ClusterWire, typed: Type, tmp_path: Path
) -> None:
    """A path that the cluster mounts isn't looked for here."""
    file = tmp_path / "x.yaml"
    file.write_text(
        "name: iris\n"
        "data: {source: /data/x.csv, target: b}\n"
        "resources: {volumes: [{mount_path: /data, persistentVolumeClaim: {claimName: d}}]}\n"
    )
    code, _, err = typed("run", str(file))

    assert (code, err) == (0, "")
    assert wire.bodies["/v1/runs"]["experiment"]["data"]["source"] == "/data/x.csv"
    assert wire.uploads == {}


def test_mistakes_are_found_before_anything_is_sent(
    wire: ClusterWire, typed: Type, file: Path
) -> None:
    """A bad file costs no request."""
    code, _, err = typed("run", str(file), "--set", "budget.trials=0")

    assert (code, "budget.trials" in err, wire.asked) == (2, True, [])


def test_ctrl_c_leaves_the_run_to_itself(wire: ClusterWire, typed: Type, file: Path) -> None:
    """Exit code 0, nothing is cancelled, and the ways back and to the end are printed."""
    wire.views = [view()]
    wire.on_look = lambda: os.kill(os.getpid(), signal.SIGINT)
    code, out, _ = typed("run", str(file))

    assert code == 0
    assert f"modelyard follow {SWEEP}\n" in out
    assert f"modelyard cancel {SWEEP}\n" in out
    assert not [asked for asked in wire.asked if "cancel" in asked or "interrupt" in asked]


def test_logs_follow_to_the_end(wire: ClusterWire, typed: Type) -> None:
    """Lines are printed once each as the sweep changes, and the last of them before the end."""
    wire.views = [view(), view(), view(SweepState.COMPLETE)]

    def printed() -> None:
        text = f"look {len(wire.lines)}"
        wire.lines.append(LogLine(at=0.0, task="0", launch=1, text=text))

    wire.on_look = printed

    assert typed("logs", SWEEP, "--follow") == (0, "0: look 0\n0: look 1\n0: look 2\n", "")


def test_logs_say_when_there_is_nothing(wire: ClusterWire, typed: Type) -> None:
    """Silence is explained on standard error; what there isn't, and won't be, is bad input."""
    wire.views = [view()]
    going = typed("logs", SWEEP, "7")[0]
    wire.views = [view(SweepState.COMPLETE)]

    code, out, err = typed("logs", SWEEP)
    refused, _, why = typed("logs", SWEEP, "prepar")
    over, _, none = typed("logs", SWEEP, "7")

    assert (going, over) == (0, 2)
    assert "has no trial or stage '7'; there are no trials, and the stages prepare" in none

    assert (code, out) == (0, "")
    assert err.endswith(f"sweep {SWEEP}, printed nothing\n")
    assert (refused, "did you mean 'prepare'?" in why) == (2, True)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (None, "POST /v1/runs"),
        (view(SweepState.FAILED), "POST /v1/runs/abcdefgh/continue"),
        (view(SweepState.INTERRUPTED), "POST /v1/runs/abcdefgh/continue"),
        (view(), "POST /v1/runs/abcdefgh/continue"),
        (view(SweepState.COMPLETE), None),
        (view(SweepState.CANCELLED), None),
    ],
    ids=["none", "failed", "interrupted", "running", "complete", "cancelled"],
)
def test_continue_takes_the_newest_of_the_name(
    found: SweepView | None, expected: str | None, wire: ClusterWire, typed: Type, file: Path
) -> None:
    """What can go on does, what runs is followed, what has ended is said, none is begun."""
    meant = load_checked(file, on_cluster=True).experiment.to_document()
    wire.document = Document(experiment=meant, store="s3://x")
    wire.known = found is not None
    wire.views = [*([found] if found else []), view(SweepState.COMPLETE)]
    code, out, _ = typed("run", str(file), "--continue")

    posts = [asked for asked in wire.asked if asked.startswith("POST")]
    assert code == 0
    assert posts == ([] if expected is None else [expected])
    assert ("nothing to go on with" in out) == (expected is None)


def test_another_experiment_is_not_continued(wire: ClusterWire, typed: Type, file: Path) -> None:
    """The keys that differ are named, and nothing is asked for."""
    wire.views = [view(SweepState.FAILED)]
    code, _, err = typed("run", str(file), "--continue", "--set", "budget.trials=3")

    assert code == 2
    assert "budget.trials: 20 became 3" in err
    assert not [asked for asked in wire.asked if asked.startswith("POST")]
