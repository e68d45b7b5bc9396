"""``modelyard run --on cluster`` against a real server process with a key, Prefect at the wire.

The flow that Prefect would start is led by a thread that asks for one stage after the other, as
the flow does; everything else is real.
"""

from __future__ import annotations

import http.server
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import SecretStr

from modelyard.api import StageState, SweepState, SweepView
from modelyard.client import Client
from modelyard.errors import ModelyardError
from modelyard.local import services
from modelyard.settings import Paths, Settings
from tests.support.home import DEADLINE_SECONDS, eventually
from tests.support.ports import reserved_port
from tests.support.prefect_wire import PrefectWire

pytestmark = [pytest.mark.integration, pytest.mark.slow]

KEY = "a-key-of-the-test"
STAGES = ("prepare", "sweep", "train", "evaluate", "register")
ENDLESS = 1_000_000
"""Epochs of a trial that doesn't end by itself."""

TABLE = """
name: {name}
data: {{source: flowers.csv, target: kind}}
model: mlp
search: {{pruner: none, space: {{learning_rate: {{float: [0.001, 0.01]}}}}}}
budget: {{trials: {trials}, parallel: 1}}
train: {{epochs: {epochs}}}
deploy: null
"""


@dataclass(kw_only=True)
class Cluster:
    """A server with a key, its Prefect, and a laptop's folder that knows of neither.

    Args:
        paths: of the server's home.
        laptop: where commands are typed.
        address: of the server.
        prefect: what Prefect was asked for.
    """

    paths: Paths
    laptop: Path
    address: str
    prefect_address: str
    prefect: PrefectWire

    def start(self) -> None:
        """The server, on the same port each time."""
        port = self.address.rpartition(":")[2]
        service = services.start(
            "server",
            [sys.executable, "-P", "-m", "modelyard.server", "--port", port],
            env={
                **os.environ,
                "MODELYARD_HOME": str(self.paths.home),
                "MODELYARD_API_KEY": KEY,
                "PREFECT_API_URL": f"{self.prefect_address}/api",
            },
            address=self.address,
            run=None,
            paths=self.paths,
        )
        services.wait_ready(f"{self.address}/readyz", DEADLINE_SECONDS, service=service)

    def kill(self) -> None:
        """SIGKILL for the server."""
        service = services.running("server", self.paths)
        assert service is not None
        os.kill(service.process, signal.SIGKILL)
        eventually(lambda: not services.alive(service), "the server is gone")

    def client(self) -> Client:
        settings = Settings(server=self.address, api_key=SecretStr(KEY))
        return Client.connect(settings)

    def lead(self, sweep: str) -> None:
        """Take a sweep from stage to stage, as the flow does."""
        with self.client() as client:
            for stage in STAGES:
                try:
                    ended = client.wait_stage(sweep, stage)
                except ModelyardError:
                    return
                if ended.state is not StageState.COMPLETE:
                    return

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """A command typed on the laptop."""
        return subprocess.Popen(
            [sys.executable, "-m", "modelyard.cli", *arguments],
            env={
                **{k: v for k, v in os.environ.items() if k != "MODELYARD_HOME"},
                "MODELYARD_SERVER": self.address,
                "MODELYARD_API_KEY": KEY,
                "COLUMNS": "200",
            },
            cwd=self.laptop,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def typed(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, standard output and standard error of a command."""
        process = self.begin(*arguments)
        out, err = process.communicate(timeout=DEADLINE_SECONDS)
        return process.returncode, out, err

    def sweep(self, name: str) -> SweepView:
        with self.client() as client:
            return client.sweep(name)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One server for the module."""
    folder = tmp_path_factory.mktemp("cluster")
    found = Cluster(
        paths=Paths(folder / "home"),
        laptop=folder / "laptop",
        address=f"http://127.0.0.1:{reserved_port()}",
        prefect_address="",
        prefect=PrefectWire(),
    )
    found.laptop.mkdir()
    rows = (f"{i % 7},{i % 5},{'ab'[i % 2]}\n" for i in range(120))
    (found.laptop / "flowers.csv").write_text("long,wide,kind\n" + "".join(rows))

    class Prefect(http.server.BaseHTTPRequestHandler):
        def reply(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            before = len(found.prefect.runs)
            status, content = found.prefect.answer(self.command, self.path, "", body)
            for parameters in list(found.prefect.runs.values())[before:]:
                threading.Thread(
                    target=found.lead, args=(parameters["sweep"],), daemon=True
                ).start()
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(content).encode())

        do_GET = do_POST = reply

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Prefect) as prefect:
        threading.Thread(target=prefect.serve_forever, args=(0.05,), daemon=True).start()
        found.prefect_address = f"http://127.0.0.1:{prefect.server_port}"
        services.prepare_home(found.paths)
        try:
            found.start()
            yield found
        finally:
            services.stop_all(found.paths, grace_seconds=5)
            prefect.shutdown()


def file(cluster: Cluster, name: str, *, trials: int = 2, epochs: int = 2) -> str:
    (cluster.laptop / f"{name}.yaml").write_text(
        TABLE.format(name=name, trials=trials, epochs=epochs)
    )
    return f"{name}.yaml"


def test_a_run_from_a_laptop_ends_with_a_registered_version(cluster: Cluster) -> None:
    """The table travels, a flow run leads the sweep, and the laptop keeps nothing."""
    code, out, err = cluster.typed("run", file(cluster, "flowers"), "--json")

    assert code == 0, err
    run = json.loads(out)
    sweep = run["sweep"]
    assert (sweep["state"], sweep["counts"]["complete"]) == ("complete", 2)
    assert cluster.prefect.runs[sweep["flow_run"]]["sweep"] == sweep["id"]
    assert run["version"]["name"] == "flowers"
    with cluster.client() as client:
        source = client.document(sweep["document"]).experiment["data"]["source"]
    assert source.startswith("upload:")
    assert source.endswith("/flowers.csv")
    assert {path.name for path in cluster.laptop.iterdir()} == {"flowers.csv", "flowers.yaml"}


def test_a_run_outlives_who_watches_it_and_the_server_that_runs_it(cluster: Cluster) -> None:
    """kill -9 of the server is borne, Ctrl-C ends the watching alone, cancel ends the run."""
    name = file(cluster, "long", trials=3, epochs=ENDLESS)
    watching = cluster.begin("run", name)
    eventually(lambda: cluster.sweep("long").counts.running, "a trial runs")
    cluster.kill()
    cluster.start()
    eventually(lambda: cluster.sweep("long").counts.running, "a trial runs again")
    assert watching.poll() is None
    watching.send_signal(signal.SIGINT)
    said, err = watching.communicate(timeout=DEADLINE_SECONDS)

    sweep = cluster.sweep("long")
    assert (watching.returncode, err) == (0, "")
    assert f"modelyard follow {sweep.id}" in said
    assert sweep.state is SweepState.RUNNING
    again = cluster.begin("run", name, "--continue")
    assert again.stdout is not None
    eventually(lambda: sweep.id in again.stdout.readline(), "it is followed again")
    code, out, err = cluster.typed("cancel", "long")
    assert (code, "is cancelled" in out) == (0, True), err
    assert again.wait(DEADLINE_SECONDS) == 130
    again.communicate()
    assert cluster.typed("logs", "long", "prepare")[0] == 0
    leads = [parameters["sweep"] for parameters in cluster.prefect.runs.values()]
    assert leads.count(sweep.id) == 1
