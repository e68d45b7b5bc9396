"""The trial program's edges: its orders, its output, its intake, its checkpoints."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelyard.contract import Document, Exit, LaunchKey, Stage, TrialSpec, Variable
from modelyard.errors import DigestMismatch, Fenced, InputError, ServerRefused, ServerUnreachable
from modelyard.store.folder import FolderStore
from modelyard.store.store import join
from modelyard.trial import rehearsal
from modelyard.trial.assignment import read_assignment
from modelyard.trial.checkpoints import Checkpoints, newest_whole
from modelyard.trial.intake import SOCKET_OPTIONS
from modelyard.trial.intake import Intake as Client
from modelyard.trial.output import Tee, captured
from modelyard.trial.program import leave, main
from modelyard.trial.rehearsal import rehearse
from tests.support.intake import Intake, running_intake

KEY = LaunchKey(sweep="abcdefgh", task="0", number=1)
SPEC = TrialSpec(key=KEY, stage=Stage.TRIAL, document="0" * 64)


@pytest.fixture(scope="module")
def intake() -> Iterator[Intake]:
    """A real HTTP intake."""
    with running_intake() as intake:
        yield intake


def environment(tmp_path: Path) -> dict[str, str]:
    """A whole environment of a launch."""
    return {
        Variable.SPEC: SPEC.to_json(),
        Variable.SERVER: "http://127.0.0.1:9/",
        Variable.SCRATCH: str(tmp_path / "scratch"),
    }


def test_orders_are_read(tmp_path: Path) -> None:
    """The environment becomes an assignment, and its scratch folder exists."""
    assignment = read_assignment(environment(tmp_path))

    assert (assignment.spec, assignment.server) == (SPEC, "http://127.0.0.1:9")
    assert (assignment.token, assignment.termination) == (None, None)
    assert assignment.scratch.is_dir()


def test_all_wrong_variables_are_named_at_once() -> None:
    """Each variable that is missing or wrong is in the message, with what is right."""
    with pytest.raises(InputError) as caught:
        read_assignment({Variable.SERVER: "localhost:80"})

    for name in (Variable.SPEC, Variable.SERVER, Variable.SCRATCH):
        assert name in str(caught.value)


def test_a_bad_spec_ends_with_76(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A spec that can't be used would fail every trial: exit code 76, and which field."""
    wrong = environment(tmp_path) | {Variable.SPEC: '{"stage": "bake"}'}

    assert main(wrong) == Exit.CONFIGURATION
    assert "stage: Input should be" in capsys.readouterr().err


def test_the_entry_is_the_program() -> None:
    """``python -P -m modelyard.trial`` without orders ends with 76 and says what it needs."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "modelyard.trial"], env={}, capture_output=True, text=True
    )

    assert done.returncode == Exit.CONFIGURATION
    assert Variable.SPEC in done.stderr


def test_a_tee_hands_on_lines_and_keeps_the_text() -> None:
    """Everything goes through unchanged; whole lines are handed on, progress bars as their end."""
    behind, lines = io.StringIO(), list[str]()
    tee = Tee(behind, lines.append)
    tee.write("one\ntw")
    tee.write("o\n10%\r20%\rdone\n")
    tee.write("rest")
    tee.finish()

    assert lines == ["one", "two", "done", "rest"]
    assert behind.getvalue() == "one\ntwo\n10%\r20%\rdone\nrest"


def test_printing_inside_captured_is_handed_on(capsys: pytest.CaptureFixture[str]) -> None:
    """print is captured, and still reaches the process's own output."""
    lines: list[str] = []
    with captured(lines.append):
        print("inside")
    print("outside")

    assert lines == ["inside"]
    assert capsys.readouterr().out == "inside\noutside\n"


def test_document_is_fetched_by_digest(intake: Intake) -> None:
    """The document comes as it was made."""
    document = Document(experiment={"name": "x"}, store="file:///tmp")
    digest = intake.add(document)

    with Client(intake.address, None) as client:
        assert client.document(digest, patience_seconds=0) == document


def test_what_is_rehearsed_is_fetched_and_posts_nothing(
    intake: Intake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rehearsal gives the document; without a server it gives none, and harms nobody."""
    monkeypatch.setattr(rehearsal, "ANSWER_SECONDS", 120.0)  # on a busy machine, too
    document = Document(experiment={"name": "x", "data": {"source": "none"}}, store="file:///tmp")
    spec = SPEC.model_copy(update={"document": intake.add(document)})
    given = environment(tmp_path) | {Variable.SPEC: spec.to_json()}
    before = len(intake.batches)

    assert rehearse(given | {Variable.SERVER: intake.address}) == document
    assert rehearse(given) is None
    assert len(intake.batches) == before
    assert not (tmp_path / "scratch").exists()


def test_a_launch_takes_the_document_of_its_rehearsal(
    intake: Intake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that was fetched ahead isn't asked for; that of another sweep is left alone."""
    held, other = (Document(experiment={"name": name}, store="file:///tmp") for name in "ho")
    key = KEY.model_copy(update={"task": "7"})
    spec = SPEC.model_copy(update={"key": key, "document": held.digest})
    given = environment(tmp_path) | {
        Variable.SPEC: spec.to_json(),
        Variable.SERVER: intake.address,
    }

    said = [(main(given, rehearsed), capsys.readouterr().err) for rehearsed in (held, other)]

    assert [code for code, _ in said] == [Exit.CONFIGURATION, Exit.CONFIGURATION]
    assert ["no such document" in text for _, text in said] == [False, True]


def test_another_document_is_refused(intake: Intake) -> None:
    """A document that isn't the one asked for is never worked on."""
    intake.documents["1" * 64] = Document(experiment={"name": "other"}, store="file:///tmp")

    with Client(intake.address, None) as client, pytest.raises(DigestMismatch):
        client.document("1" * 64, patience_seconds=0)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (401, ServerRefused),
        (404, ServerRefused),
        (409, Fenced),
        (410, Fenced),
        (429, ServerUnreachable),
        (503, ServerUnreachable),
    ],
)
def test_answers_have_their_meaning(intake: Intake, status: int, expected: type[Exception]) -> None:
    """Fenced, refused for good, or later: by status code."""
    intake.status = status
    try:
        with Client(intake.address, None) as client, pytest.raises(expected):
            client.document("2" * 64, patience_seconds=0)
    finally:
        intake.status = 200


def test_nobody_there_is_unreachable() -> None:
    """A closed port is a server that is away, not a bug."""
    with Client("http://127.0.0.1:9", None) as client, pytest.raises(ServerUnreachable):
        client.post(KEY, b"{}")


def commit(store: FolderStore, uri: str, tmp_path: Path, text: str = "weights") -> None:
    """A folder with one file, committed."""
    folder = tmp_path / "new"
    folder.mkdir(exist_ok=True)
    (folder / "state").write_text(text)
    store.commit(folder, uri)


def test_resume_takes_the_newest_whole_checkpoint(tmp_path: Path) -> None:
    """Of earlier launches only; a damaged one is passed over, and said."""
    store, task = FolderStore(), (tmp_path / "task").as_uri()
    for launch, epoch in ((1, 1), (1, 2), (2, 3), (2, 4), (3, 9)):
        commit(store, join(task, str(launch), "checkpoints", f"{epoch:06d}"), tmp_path)
    (tmp_path / "task/2/checkpoints/000004/state").write_text("truncated")

    found = newest_whole(store, task, before=3)

    assert found.epoch == 3
    assert found.folder == tmp_path / "task/2/checkpoints/000003"
    assert len(found.notes) == 1
    assert "000004 is damaged" in found.notes[0]


def test_what_a_replaced_launch_still_writes_is_not_read(tmp_path: Path) -> None:
    """A newer launch's checkpoints come first, whatever an older one wrote meanwhile."""
    store, task = FolderStore(), (tmp_path / "task").as_uri()
    for launch, epoch in ((1, 1), (1, 7), (2, 2)):
        commit(store, join(task, str(launch), "checkpoints", f"{epoch:06d}"), tmp_path)

    assert newest_whole(store, task, before=3).epoch == 2


def test_nothing_to_resume_starts_fresh(tmp_path: Path) -> None:
    """An earlier launch that left nothing is no error."""
    assert newest_whole(FolderStore(), tmp_path.as_uri(), before=2).folder is None


def test_best_and_last_two_checkpoints_are_kept(tmp_path: Path) -> None:
    """Older ones are dropped once they are neither."""
    store, launch = FolderStore(), (tmp_path / "task/1").as_uri()
    checkpoints = Checkpoints(store, launch)
    for epoch in range(1, 7):
        folder = tmp_path / f"epoch{epoch}"
        folder.mkdir()
        (folder / "state").write_text(str(epoch))
        checkpoints.commit(epoch, folder, best=2)

    kept = [uri.rsplit("/", 1)[-1] for uri in store.committed(join(launch, "checkpoints"))]

    assert kept == ["000002", "000005", "000006"]


def test_a_closed_stream_keeps_nobody_from_leaving(monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's own code may have closed it: the exit code is told all the same."""
    closed, codes = io.StringIO(), list[int]()
    closed.close()
    monkeypatch.setattr(sys, "stdout", closed)
    monkeypatch.setattr(os, "_exit", codes.append)
    leave(Exit.BUG)

    assert codes == [Exit.BUG]


def test_an_idle_connection_is_asked_after() -> None:
    """By the kernel, within seconds; and small posts aren't held back."""
    with socket.socket() as opened:
        for option in SOCKET_OPTIONS:
            opened.setsockopt(*option)
        assert opened.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) != 0
        assert opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
        if hasattr(socket, "TCP_KEEPIDLE"):
            assert opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 30
