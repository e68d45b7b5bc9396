"""A real server process on a temporary home: killed, started again, alone, and gone at its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from modelyard.api import Owner, StageState, SweepRequest, SweepState, TrialState
from modelyard.client import Client
from modelyard.code.sending import send
from modelyard.errors import ServerRefused, ServerUnreachable
from modelyard.experiment.load import experiment_from
from modelyard.local import processes, services
from modelyard.local.services import Service
from modelyard.settings import Settings
from tests.support.held import FAMILY, Held
from tests.support.ports import reserved_port

pytestmark = pytest.mark.integration

SECONDS = 300.0
"""Longest that anything may take; far beyond what it takes on a busy machine."""

ENDLESS = 1_000_000
"""Epochs of a trial that doesn't end by itself."""


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    found = Settings(home=tmp_path / "home")
    yield found
    services.stop_all(found.paths, grace_seconds=0)


def start(settings: Settings, *, run: str | None = None, ready: bool = True) -> Service:
    """A server of this home; answers when this returns."""
    address = f"http://127.0.0.1:{reserved_port()}"
    port = address.rpartition(":")[2]
    service = services.start(
        "server",
        [sys.executable, "-P", "-m", "modelyard.server", "--port", port],
        env={**os.environ, "MODELYARD_HOME": str(settings.paths.home)},
        address=address,
        run=run,
        paths=settings.paths,
    )
    if ready:
        services.wait_ready(f"{address}/readyz", SECONDS, service=service)
    return service


def request(owner: Owner | None = None, code: str | None = None, **sections: Any) -> SweepRequest:
    experiment = experiment_from(
        {
            "name": "iris",
            "data": {"source": "sklearn:iris"},
            "model": "mlp",
            "budget": {"trials": 2, "parallel": 2},
            "train": {"epochs": 2},
            **sections,
        }
    )
    return SweepRequest(experiment=experiment.to_document(), owner=owner, code=code)


def until(condition: Callable[[], object]) -> None:
    deadline, nap = time.monotonic() + SECONDS, threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        nap.wait(0.05)


def gone(service: Service) -> bool:
    return not services.alive(service)


def killed(service: Service) -> None:
    """SIGKILL for the server alone; its launches are left to end by themselves."""
    os.kill(service.process, signal.SIGKILL)
    until(lambda: gone(service))


@contextmanager
def owner(run: str) -> Iterator[Owner]:
    """The owner of a run: a process that lives for as long as the block runs."""
    with subprocess.Popen(
        [sys.executable, "-S", "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE
    ) as process:
        started = psutil.Process(process.pid).create_time()
        yield Owner(run=run, process=process.pid, started=started)
        process.kill()


@contextmanager
def renewed(settings: Settings, sweep: str, owner: Owner) -> Iterator[None]:
    """Renew an owner for as long as the block runs, and not once more."""
    end = threading.Event()

    def renew() -> None:
        with Client.connect(settings) as client:
            while not end.wait(0.5):
                with suppress(ServerUnreachable):
                    client.renew_owner(sweep, owner)

    thread = threading.Thread(target=renew)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


def test_killed_and_continued_with_exactly_the_trials_asked_for(
    settings: Settings, tmp_path: Path
) -> None:
    """kill -9 in the middle of a sweep: continued, it ends with no trial lost or doubled."""
    held = Held(tmp_path / "code")
    first = start(settings)
    with Client.connect(settings) as client, owner("r1") as one:
        code = send(held.code, client.upload).digest
        asked = request(one, code, model=FAMILY, train={"epochs": 60})
        sweep = client.create_sweep(asked).id
        with renewed(settings, sweep, one):
            client.wait_stage(sweep, "prepare")
            client.run_stage(sweep, "sweep")
            next(event for event in client.events(sweep) if event.body["kind"] == "metrics")
            killed(first)

    held.let_go()
    start(settings)
    with Client.connect(settings) as client, owner("r2") as two:
        view = client.continue_sweep(sweep, two)
        with renewed(settings, sweep, two):
            done = client.wait_stage(sweep, "sweep")
        trials = client.trials(sweep)

    assert view.state is SweepState.RUNNING
    assert done.state is StageState.COMPLETE
    assert [trial.number for trial in trials] == [0, 1]
    assert {trial.state for trial in trials} <= {TrialState.COMPLETE, TrialState.PRUNED}
    assert max(trial.launches for trial in trials) == 2


def test_a_sweep_without_owner_goes_on_by_itself(settings: Settings) -> None:
    """kill -9 of the server under a deployment's sweep: whoever waits sees it end."""
    first = start(settings)
    with Client.connect(settings) as client:
        sweep = client.create_sweep(request()).id
        client.run_stage(sweep, "prepare")
        killed(first)
        start(settings)

        assert client.wait_stage(sweep, "prepare").state is StageState.COMPLETE


def test_a_second_server_says_where_the_first_is(settings: Settings) -> None:
    """Two servers of one home: the second ends and names the first's address."""
    first = start(settings)
    record = settings.paths.service("server").read_text()

    second = start(settings, ready=False)
    until(lambda: gone(second))
    settings.paths.service("server").write_text(record)

    said = settings.paths.log("server").read_text().splitlines()
    assert [line for line in said if first.address in line and "holds the journal" in line]
    assert services.alive(first)
    with Client.connect(settings) as client:
        assert client.health().status == "ok"


def test_a_run_that_was_killed_leaves_nothing(settings: Settings) -> None:
    """The owner falls silent: its sweep is interrupted with a checkpoint, its server ends."""
    server = start(settings, run="r1")
    with Client.connect(settings) as client, owner("r1") as one:
        long = request(one, train={"epochs": ENDLESS})
        sweep = client.create_sweep(long).id
        with renewed(settings, sweep, one):
            client.wait_stage(sweep, "prepare")
            client.run_stage(sweep, "sweep")
            next(event for event in client.events(sweep) if event.body["kind"] == "checkpoint")
            members = processes.marked(services.MARK, server.mark)
    until(lambda: gone(server))

    assert len(members) > 2
    until(lambda: not any(_lives(process) for process in members))
    start(settings)
    with Client.connect(settings) as client:
        stopped = SweepState.INTERRUPTED
        view = client.wait(sweep, lambda seen: seen.state is stopped, seconds=SECONDS)
    assert view.state is stopped
    assert "has gone" in view.message


def _lives(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_cancel_is_final_and_leaves_no_trial(settings: Settings) -> None:
    """Cancelling ends running trials; the sweep is cancelled once they have ended."""
    start(settings)
    with Client.connect(settings) as client:
        long = request(train={"epochs": ENDLESS})
        sweep = client.create_sweep(long).id
        client.wait_stage(sweep, "prepare")
        client.run_stage(sweep, "sweep")
        next(event for event in client.events(sweep) if event.body["kind"] == "metrics")

        client.cancel(sweep, "enough")
        last = list(client.follow(sweep))[-1]

        assert (last.state, last.message) == (SweepState.CANCELLED, "enough")
        assert (last.counts.running, last.counts.ended) == (0, 0)
        assert last.counts.cancelled >= 2
        with pytest.raises(ServerRefused, match="cancelled, which is final"):
            client.continue_sweep(sweep)


def test_ends_in_good_order_when_asked(settings: Settings) -> None:
    """After a shutdown the process, its service file and its port are gone."""
    server = start(settings)
    with Client.connect(settings) as client:
        client.shutdown()
        until(lambda: gone(server))
        with pytest.raises(ServerUnreachable):
            client.health()

    assert not settings.paths.service("server").exists()
    with pytest.raises(ServerUnreachable):
        Client.connect(settings)
