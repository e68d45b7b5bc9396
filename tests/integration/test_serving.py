"""The model server as a process, and its handover by the local deploy target."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from modelyard.deploy.local import deploy, servings
from modelyard.errors import InputError, ModelyardError
from modelyard.local import services
from modelyard.settings import Paths
from tests.support.packed import table_model
from tests.support.ports import reserved_port

pytestmark = pytest.mark.integration

SECONDS = 240.0
"""Longest that anything may take; far beyond what it takes on a busy machine."""

ROW = {"age": 40, "spend": 12.5, "plan": "pro"}
BODY = {"dataframe_records": [ROW, {"age": None, "spend": "", "plan": "never seen"}]}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A packed model with its example, as the registry hands it out."""
    folder = table_model(tmp_path_factory.mktemp("churn")).model
    (folder / "example.json").write_text(json.dumps(BODY))
    return folder


@pytest.fixture
def paths(tmp_path: Path) -> Iterator[Paths]:
    home = Paths(tmp_path / "a home")
    yield home
    services.stop_all(home)


CLIENT = httpx.Client(
    trust_env=False, verify=False, timeout=SECONDS, headers={"Connection": "close"}
)
"""Each request over a connection of its own, as the kernel shares out connections."""


def predict(address: str) -> httpx.Response:
    return CLIENT.post(f"{address}/invocations", json=BODY)


def argv(model: Path, port: int) -> list[str]:
    return [
        *(sys.executable, "-P", "-m", "modelyard.serve", "--model", str(model)),
        *("--name", "churn", "--version", "1", "--port", str(port)),
    ]


def test_a_deployed_model_answers_the_line_that_was_printed(model: Path, paths: Paths) -> None:
    """The server is ready when deploy returns, the example line works from any folder, and
    deploying the same version again starts nothing."""
    view = deploy("churn", 1, model, port="auto", paths=paths)
    assert [v.version for v in servings(paths)] == [1]
    assert CLIENT.get(f"{view.address}/readyz").status_code == 200
    example = paths.models / "churn" / "example.csv"
    rows = list(csv.DictReader(example.read_text().splitlines()))
    assert [row["plan"] for row in rows] == ["pro", "never seen"]
    if shutil.which("curl") is None:
        # The line is for people with curl; what it sends is checked all the same.
        answer = predict(view.address).json()
    else:
        done = subprocess.run(
            view.example, shell=True, cwd="/", capture_output=True, check=True, timeout=SECONDS
        )
        answer = json.loads(done.stdout)
    assert (answer["model"], answer["version"]) == ("churn", 1)
    assert answer["predictions"][0]["prediction"] == "yes"
    assert deploy("churn", 1, model, port="auto", paths=paths) == view


def test_the_next_version_takes_over_without_a_failed_request(
    model: Path, paths: Paths, tmp_path: Path
) -> None:
    """Requests go on all the while; at the end only the new version answers, at one address. A
    third version that can't serve leaves it there, and the error carries the log's end."""
    first = deploy("churn", 1, model, port="auto", paths=paths)
    failed: list[str] = []
    seen: set[int] = set()
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            try:
                answer = predict(first.address)
                seen.add(answer.json()["version"])
                if answer.status_code != 200:
                    failed.append(answer.text)
            except httpx.HTTPError as error:
                failed.append(repr(error))

    asker = threading.Thread(target=ask)
    asker.start()
    try:
        second = deploy("churn", 2, model, port="auto", paths=paths)
    finally:
        done.set()
        asker.join()
    assert failed == []
    assert 1 in seen
    assert second.address == first.address
    assert second.process != first.process
    assert [v.version for v in servings(paths)] == [2]
    broken = tmp_path / "broken"
    shutil.copytree(model, broken)
    (broken / "model.json").write_text("{}")
    with pytest.raises(ModelyardError, match=r"(?s)Its log ends:\n.*can't serve"):
        deploy("churn", 3, broken, port="auto", paths=paths)
    assert [v.version for v in servings(paths)] == [2]
    assert predict(first.address).json()["version"] == 2


def test_a_port_held_by_somebody_else_is_refused_by_name(model: Path, paths: Paths) -> None:
    """Even one that would share its port isn't joined: it is another model's, or a stranger's."""
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        port = stranger.getsockname()[1]
        done = subprocess.run(
            argv(model, port), capture_output=True, text=True, check=False, timeout=SECONDS
        )
        assert done.returncode == 2
        assert f"port {port} on 127.0.0.1 is held by" in done.stderr
        with pytest.raises(InputError, match=f"port {port} on 127.0.0.1 is held by"):
            deploy("churn", 1, model, port=port, paths=paths)
    assert servings(paths) == []


def test_sigterm_lets_a_request_in_flight_finish_and_ends_with_0(
    model: Path, tmp_path: Path
) -> None:
    """A body that is still under way when the signal comes is answered."""
    port = reserved_port()
    log = tmp_path / "log"
    with log.open("w") as out:
        process = subprocess.Popen(argv(model, port), stdout=out, stderr=out)
    try:
        services.wait_ready(f"http://127.0.0.1:{port}/readyz", SECONDS)
        body = json.dumps(BODY).encode()
        head = f"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as connection:
            connection.sendall(head.encode() + body[:10])
            with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as idle:
                # Another request is answered after it: the server has begun to read the first.
                idle.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
                assert idle.recv(65536).startswith(b"HTTP/1.1 200")
                process.send_signal(signal.SIGTERM)
                # Whoever asks for nothing is let go once the port is closed.
                assert _is_over(idle)
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
            connection.sendall(body[10:])
            answer = connection.recv(65536)
        assert answer.startswith(b"HTTP/1.1 200")
        assert process.wait(timeout=SECONDS) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()


def test_a_folder_that_is_no_model_ends_with_1(tmp_path: Path) -> None:
    """The message names the folder and what is missing in it."""
    done = subprocess.run(
        argv(tmp_path, reserved_port()), capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "model.json" in done.stderr
    assert "Traceback" not in done.stderr


def _is_over(connection: socket.socket) -> bool:
    """Whether the other side hangs up, after whatever it still says."""
    try:
        while connection.recv(65536):
            pass
    except TimeoutError:
        return False
    except ConnectionResetError:
        pass
    return True
