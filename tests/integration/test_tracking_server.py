"""Runs on a real MLflow server that is away for a while, and whose answers get lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelyard.api import SweepRequest, SweepState, TrialState
from modelyard.contract import Batch, Document, Event, LaunchKey, Metrics, Stage, TrialSpec
from modelyard.experiment.model import Experiment
from modelyard.journal.journal import Journal
from modelyard.journal.migrate import migrate
from modelyard.journal.rows import TrialRow
from modelyard.registry.recorder import Recorder
from modelyard.registry.tracking import Tracking
from tests.support.fault_proxy import Fault, proxied
from tests.support.mlflow_store import mlflow_server, shared_tracking

pytestmark = [
    pytest.mark.slow,
    pytest.mark.integration,
    # MLflow's own modules use what pandas and SQLAlchemy deprecate.
    pytest.mark.filterwarnings("ignore:::mlflow"),
]

TRIES = 200
"""Far more than requests are hurt, so that a test that can't succeed ends."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of an MLflow server on the session's store, which is migrated already."""
    store = shared_tracking(tmp_path_factory).tracking_uri
    with mlflow_server(tmp_path_factory.mktemp("mlflow-server"), store) as address:
        yield address


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """A journal with a sweep of two trials that ran to their ends."""
    url = f"sqlite:///{tmp_path}/journal.db"
    migrate(url)
    opened = Journal.open(url, lease_seconds=600)
    opened.acquire("http://127.0.0.1:1")
    experiment = Experiment.model_validate(
        {"name": "far", "project": "far", "data": {"source": "sklearn:digits"}}
    ).to_document()
    document = Document(experiment=experiment, store="file:///nowhere")
    sweep = opened.create_sweep("farfarfa", SweepRequest(experiment=experiment), document).id
    for number in range(2):
        key = LaunchKey(sweep=sweep, task=str(number), number=1)
        common = {"sweep": sweep, "number": number, "parameters": {"hidden": 32}}
        opened.put_trial(TrialRow(state=TrialState.RUNNING, **common))
        opened.commit_launches([TrialSpec(key=key, stage=Stage.TRIAL, document="d")])
        events = (
            Event(sequence=step, at=0.0, body=Metrics(step=step, values={"loss": 1 / step}))
            for step in range(1, 6)
        )
        opened.append([(key, Batch(events=tuple(events)))])
        ended = {"values": (0.5,), "metrics": {"accuracy": 0.5}, "step": 5}
        opened.put_trial(TrialRow(state=TrialState.COMPLETE, **common, **ended))
    opened.update_sweep(sweep, state=SweepState.COMPLETE)
    yield opened
    opened.close()


def test_a_tracking_server_that_comes_and_goes(
    server: str, journal: Journal, tmp_path: Path
) -> None:
    """Away at first, then storing what it is sent without its answer arriving: in the end there
    is one run for the sweep and one for each trial, each value once, in its order."""

    times: Counter[str] = Counter()

    def fault(number: int, method: str, path: str) -> Fault:
        if number < 3:
            return "503"
        times[path] += 1
        return "cut" if method == "POST" and times[path] in (1, 3) else ""

    with proxied(server) as proxy:
        proxy.choose = fault
        tracking = Tracking(proxy.address, str(tmp_path / "artifacts"))
        recorder = Recorder(journal, tracking)
        failures = 0
        for _ in range(TRIES):
            try:
                recorder.catch_up()
                break
            except Exception:
                failures += 1
        recorder.catch_up()
        client = tracking.client
        found = client.search_runs([tracking.experiment("far")])
        kinds = sorted(run.data.tags["modelyard.kind"] for run in found)
        curves = [
            [(m.step, m.value) for m in client.get_metric_history(row.run, "loss")]
            for row in journal.trials("farfarfa")
            if row.run is not None
        ]

    assert failures > 3
    assert kinds == ["sweep", "trial", "trial"]
    assert {run.info.status for run in found} == {"FINISHED"}
    assert curves == [[(step, 1 / step) for step in range(1, 6)]] * 2
    assert all(row.recorded for row in journal.trials("farfarfa"))


def test_an_address_is_shown_without_its_password() -> None:
    """Credentials in a tracking server's address stay out of what is said of it."""
    tracking = Tracking("https://me:secret@mlflow.example:5000/base", "/tmp/artifacts")
    assert tracking.name == "https://mlflow.example:5000/base"
