"""Services of a home folder: started detached, found again, ended with all their children."""

from __future__ import annotations

import http.server
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from modelyard.errors import InputError, ServerUnreachable
from modelyard.local import services
from modelyard.local.ports import free_port
from modelyard.settings import Paths
from tests.support.ports import reserved_port

DEADLINE_SECONDS = 120.0

SLEEPER = "import time; print('up', flush=True); time.sleep(600)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEPER
PARENT = (
    "import subprocess, sys, time\n"
    "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'],"
    " start_new_session=True)\n"
    "print('up', flush=True); time.sleep(600)"
)


@pytest.fixture
def paths(tmp_path: Path) -> Iterator[Paths]:
    home = Paths(tmp_path / "home")
    yield home
    services.stop_all(home, grace_seconds=0)


def sleeper(
    name: str, paths: Paths, *, run: str | None = None, program: str = SLEEPER
) -> services.Service:
    service = services.start(
        name,
        [sys.executable, "-c", program],
        env=dict(os.environ),
        address="http://127.0.0.1:1",
        run=run,
        paths=paths,
    )
    wait_for(lambda: paths.log(name).read_text().startswith("up"))
    return service


def wait_for(condition: Callable[[], bool]) -> None:
    nap = threading.Event()
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        nap.wait(0.01)


def marked(paths: Paths) -> list[psutil.Process]:
    return services.processes.marked(services.MARK, f"{paths.home}|")


def test_a_started_service_is_found_again_by_its_file(paths: Paths) -> None:
    """A started service runs in its own session and is read back just as it was returned."""
    service = sleeper("one", paths, run="r1")

    assert services.running("one", paths) == service
    assert os.getsid(service.process) == service.process
    assert json.loads(paths.service("one").read_text())["run"] == "r1"


def test_stop_ends_the_process_and_removes_the_file(paths: Paths) -> None:
    """After stop neither process nor file is left, and a second stop says there was nothing."""
    service = sleeper("one", paths)

    assert services.stop("one", paths) is True
    assert not psutil.pid_exists(service.process)
    assert not paths.service("one").exists()
    assert services.stop("one", paths) is False


def test_a_service_that_ignores_sigterm_is_killed(paths: Paths) -> None:
    """SIGKILL follows the grace."""
    service = sleeper("stubborn", paths, program=STUBBORN)

    services.stop("stubborn", paths, grace_seconds=0.05)

    assert not psutil.pid_exists(service.process)


def test_children_in_sessions_of_their_own_end_with_their_service(paths: Paths) -> None:
    """A child that left the session is reached by the mark it inherited."""
    sleeper("parent", paths, program=PARENT)
    assert len(marked(paths)) == 2

    services.stop("parent", paths, grace_seconds=0.05)

    assert marked(paths) == []


def test_children_of_a_killed_service_end_with_stop_all(paths: Paths) -> None:
    """With the first process gone by SIGKILL and the file damaged, down still ends the rest."""
    service = sleeper("parent", paths, program=PARENT)
    psutil.Process(service.process).kill()
    os.waitpid(service.process, 0)
    paths.service("parent").write_text("{")

    services.stop_all(paths)

    assert marked(paths) == []


def test_stop_all_of_a_run_leaves_other_runs_services(paths: Paths) -> None:
    """Only what this run started ends."""
    mine, other = sleeper("mine", paths, run="a"), sleeper("other", paths, run="b")

    assert services.stop_all(paths, "a") == [mine]
    assert services.running("mine", paths) is None
    assert services.running("other", paths) == other


def test_a_reused_pid_is_not_taken_for_the_service(paths: Paths) -> None:
    """A file that names a living pid with another start time counts as stale, and is harmless."""
    stale = services.Service(
        name="old", process=os.getpid(), started=1.0, address="http://127.0.0.1:1"
    )
    services.prepare_home(paths)
    paths.service("old").write_text(json.dumps(stale.__dict__))

    assert services.running("old", paths) is None
    assert services.stop_all(paths) == []
    assert not paths.service("old").exists()


def test_ending_a_replaced_service_keeps_the_new_file(paths: Paths) -> None:
    """The old version of a service ends without taking the new one's file along."""
    old = sleeper("model", paths)
    new = sleeper("model", paths)

    services.end([old], paths)

    assert services.running("model", paths) == new
    assert not services.alive(old)


@pytest.mark.parametrize("home", ["/proc/modelyard", "file/home"])
def test_a_home_that_cannot_be_written_is_bad_input(home: str, tmp_path: Path) -> None:
    """The error names the folder and the variable that moves it."""
    (tmp_path / "file").write_text("")
    paths = Paths(tmp_path / home)

    with pytest.raises(InputError, match="MODELYARD_HOME") as caught:
        services.prepare_home(paths)

    assert str(paths.home) in str(caught.value)


def test_a_taken_port_gives_the_next_free_one() -> None:
    """free_port returns the preferred port when free, and another when it is taken."""
    port = reserved_port()

    assert free_port(port) == port
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()

        assert free_port(port) != port


class Ready(http.server.BaseHTTPRequestHandler):
    """Answers 200 at /ready, else 503."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/ready" else 503)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""


def test_wait_ready_needs_a_good_status() -> None:
    """200 is ready, 503 isn't, and the error names the URL."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Ready) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        url = f"http://127.0.0.1:{server.server_port}"
        services.wait_ready(f"{url}/ready", DEADLINE_SECONDS)
        with pytest.raises(ServerUnreachable, match=f"{url}/other"):
            services.wait_ready(f"{url}/other", 0)
        server.shutdown()


def test_wait_ready_ends_when_the_service_died(paths: Paths) -> None:
    """Nobody waits for a dead process."""
    service = replace(sleeper("one", paths), started=1.0)

    with pytest.raises(ServerUnreachable, match="one ended"):
        services.wait_ready("http://127.0.0.1:1/", DEADLINE_SECONDS, service=service)
