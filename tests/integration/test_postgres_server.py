"""Real servers on one Postgres: it crashes and hangs under them, and one of them sleeps."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import optuna
import pytest
from optuna.trial import TrialState as OptunaState
from optuna.trial import create_trial
from pydantic import SecretStr
from sqlalchemy import create_engine, text

from modelyard.api import StageState, SweepRequest, TrialState
from modelyard.cli.steer import migrate_command
from modelyard.client import Client
from modelyard.experiment.load import experiment_from
from modelyard.journal.journal import Journal
from modelyard.journal.postgres import SCHEMA, SHARED_SCHEMA
from modelyard.local import services
from modelyard.local.services import Service
from modelyard.settings import Settings
from modelyard.sweep.study_storage import add_trials, open_storage
from tests.support.ports import reserved_port
from tests.support.postgres import PASSWORD, Postgres, postgres

__all__ = ["postgres"]

pytestmark = [pytest.mark.integration, pytest.mark.slow]

SECONDS = 600.0

Opener = Callable[[str], Settings]


@pytest.fixture
def home(tmp_path: Path, postgres: Postgres) -> Iterator[Opener]:
    """Makes homes by name whose servers share one database."""
    url = postgres.database(like=postgres.migrated)
    made: list[Settings] = []

    def opener(name: str) -> Settings:
        made.append(Settings(home=tmp_path / name, database=SecretStr(url), lease_seconds=2.0))
        return made[-1]

    yield opener
    for settings in made:
        services.stop_all(settings.paths, grace_seconds=0)


def start(settings: Settings) -> Service:
    """A server of this home; answers when this returns."""
    assert settings.database is not None
    address = f"http://127.0.0.1:{reserved_port()}"
    service = services.start(
        "server",
        [sys.executable, "-P", "-m", "modelyard.server", "--port", address.rpartition(":")[2]],
        env={
            **os.environ,
            "MODELYARD_HOME": str(settings.paths.home),
            "MODELYARD_DATABASE": settings.database.get_secret_value(),
            "MODELYARD_LEASE_SECONDS": str(settings.lease_seconds),
        },
        address=address,
        run=None,
        paths=settings.paths,
    )
    services.wait_ready(f"{address}/readyz", SECONDS, service=service)
    return service


def request(trials: int) -> SweepRequest:
    experiment = experiment_from(
        {
            "name": "iris",
            "data": {"source": "sklearn:iris"},
            "model": "mlp",
            "budget": {"trials": trials, "parallel": 2},
            "train": {"epochs": 4},
        }
    )
    return SweepRequest(experiment=experiment.to_document())


def until(condition: Callable[[], object]) -> None:
    deadline, nap = time.monotonic() + SECONDS, threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        nap.wait(0.05)


def test_a_postgres_that_crashes_and_hangs_loses_no_tell(home: Opener, postgres: Postgres) -> None:
    """The sweep ends with exactly the trials asked for, each told once, in the journal and in the
    study; while nothing of the database answers, the server does. Its log has no password."""
    settings = home("one")
    server = start(settings)
    with Client.connect(settings, patience_seconds=SECONDS) as client:
        sweep = client.create_sweep(request(6)).id
        client.wait_stage(sweep, "prepare")
        client.run_stage(sweep, "sweep")
        posted = (event for event in client.events(sweep) if event.body["kind"] == "metrics")
        next(posted)
        postgres.restart()
        next(posted)
        postgres.cut()
        next(posted)
        with postgres.hung():
            alive = httpx.get(f"{server.address}/healthz", timeout=SECONDS).status_code
        done = client.wait_stage(sweep, "sweep")
        trials = client.trials(sweep)

    study = optuna.load_study(study_name=sweep, storage=open_storage(settings.study_url))
    assert alive == 200
    assert done.state is StageState.COMPLETE, done
    assert [trial.number for trial in trials] == list(range(6))
    assert {trial.state for trial in trials} <= {TrialState.COMPLETE, TrialState.PRUNED}
    assert [trial.number for trial in study.trials if trial.state.is_finished()] == list(range(6))
    assert PASSWORD not in settings.paths.log("server").read_text()
    os.kill(server.process, signal.SIGTERM)
    until(lambda: not services.alive(server))
    journal = Journal.open(settings.journal_url, lease_seconds=3600)
    assert journal.acquire("http://127.0.0.1:1") == 2  # it was let go of
    assert journal.unretired() == []
    journal.close()


def test_a_server_that_slept_through_its_lease_ends(home: Opener) -> None:
    """A second one takes the journal over once the lease is old; the first, awake again, ends at
    its next write and says who holds it."""
    first, second = home("one"), home("two")
    sleeper = start(first)
    os.kill(sleeper.process, signal.SIGSTOP)
    try:
        start(second)
    finally:
        os.kill(sleeper.process, signal.SIGCONT)
    until(lambda: not services.alive(sleeper))

    assert "lease is held by process" in first.paths.log("server").read_text()
    with Client.connect(second) as client:
        assert client.create_sweep(request(1)).name == "iris"
        assert client.health().status == "ok"


def test_migrations_of_journal_and_studies_side_by_side(
    tmp_path: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several at once on a fresh database all end well, and each finds its own tables; the user
    is called like one of our schemas might be, which leads nobody astray."""
    url = postgres.database()
    for variable, value in (("HOME", str(tmp_path)), ("DATABASE", url), ("TRACKING", "http://x")):
        monkeypatch.setenv(f"MODELYARD_{variable}", value)
    with ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(migrate_command) for _ in range(3)]:
            done.result(SECONDS)

    engine = create_engine(url)
    with engine.connect() as connection:
        query = "select schemaname from pg_tables where tablename = 'alembic_version' order by 1"
        schemas = list(connection.execute(text(query)).scalars())
    engine.dispose()
    assert schemas == [SCHEMA, SHARED_SCHEMA]
    journal = Journal.open(url, lease_seconds=60)
    assert journal.acquire("http://127.0.0.1:1") == 1
    journal.close()
    assert optuna.get_all_study_names(open_storage(url)) == []
    assert list(tmp_path.iterdir()) == []


def test_a_trial_whose_answer_was_lost_is_stored_once(postgres: Postgres) -> None:
    """Stored again under its number it is the same trial, with the id it had, also among others
    that are stored for the first time."""
    storage = open_storage(postgres.database())
    study = optuna.create_study(storage=storage, study_name="s", directions=["maximize"])
    trial = create_trial(state=OptunaState.RUNNING, params={}, distributions={})
    ids = [add_trials(storage, study._study_id, 0, [trial] * count) for count in (1, 1, 3)]

    assert ids[0] == ids[1] == ids[2][:1]
    assert len(set(ids[2])) == 3
    assert [one.number for one in study.trials] == [0, 1, 2]
