"""The recorder: from a real journal into a real MLflow store."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

from modelyard.api import FailureView, Owner, StageState, SweepRequest, SweepState, TrialState
from modelyard.contract import (
    Batch,
    Body,
    Document,
    Event,
    LaunchKey,
    Metrics,
    Stage,
    TrialResult,
    TrialSpec,
)
from modelyard.experiment.model import Experiment
from modelyard.journal.journal import Journal
from modelyard.journal.migrate import migrate
from modelyard.journal.rows import StageRow, TrialRow
from modelyard.registry.recorder import READER, Recorder
from modelyard.registry.tracking import Tracking
from modelyard.store.folder import FolderStore
from tests.support.mlflow_store import shared_tracking

pytestmark = [
    pytest.mark.integration,
    # MLflow's own modules use what pandas and SQLAlchemy deprecate.
    pytest.mark.filterwarnings("ignore:::mlflow"),
]


@pytest.fixture(scope="module")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> Tracking:
    return shared_tracking(tmp_path_factory)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    url = f"sqlite:///{tmp_path}/journal.db"
    migrate(url)
    opened = Journal.open(url, lease_seconds=600)
    opened.acquire("http://127.0.0.1:1")
    yield opened
    opened.close()


class Sweep:
    """One sweep in a journal, and what its trials post."""

    def __init__(self, journal: Journal, identity: str) -> None:
        self.journal = journal
        self.id = identity
        self._sequences: dict[LaunchKey, int] = {}
        experiment = Experiment.model_validate(
            {"name": "digits", "data": {"source": "sklearn:digits"}}
        ).to_document()
        journal.create_sweep(
            identity,
            SweepRequest(
                experiment=experiment,
                owner=Owner(run="run", process=1, started=0.0),
                tags={"git_commit": "abc123"},
            ),
            Document(experiment=experiment, store="file:///nowhere"),
        )

    def trial(self, number: int, state: TrialState = TrialState.RUNNING, **fields: object) -> None:
        """Put a trial's row, as the controller does."""
        row = TrialRow(
            sweep=self.id,
            number=number,
            state=state,
            **{"parameters": {"learning_rate": 0.01, "optimizer": "sgd"}, **fields},  # type: ignore[arg-type]
        )
        self.journal.put_trial(row)

    def launch(self, task: str, number: int = 1) -> LaunchKey:
        """Commit a launch, as the controller does."""
        key = LaunchKey(sweep=self.id, task=task, number=number)
        stage = Stage.TRIAL if task.isdecimal() else Stage(task)
        self.journal.commit_launches([TrialSpec(key=key, stage=stage, document="d")])
        return key

    def post(self, key: LaunchKey, *bodies: Body) -> None:
        """Append events, as the intake does."""
        events = []
        for body in bodies:
            self._sequences[key] = sequence = self._sequences.get(key, 0) + 1
            events.append(Event(sequence=sequence, at=0.0, body=body))
        for answer in self.journal.append([(key, Batch(events=tuple(events)))]):
            assert isinstance(answer, int), answer


def steps(first: int, last: int, *, offset: float = 0.0) -> list[Body]:
    return [
        Metrics(step=step, values={"validation_accuracy": step / 10 + offset})
        for step in range(first, last + 1)
    ]


def runs(tracking: Tracking, sweep: str, kind: str) -> list[object]:
    return list(
        tracking.client.search_runs(
            [tracking.experiment("default")],
            f"tags.`modelyard.sweep` = '{sweep}' and tags.`modelyard.kind` = '{kind}'",
        )
    )


def artifacts(tracking: Tracking, run: str) -> list[str]:
    return [found.path for found in tracking.client.list_artifacts(run)]


def curve(
    tracking: Tracking, run: str, key: str = "validation_accuracy"
) -> list[tuple[int, float]]:
    history = tracking.client.get_metric_history(run, key)
    return sorted((metric.step, metric.value) for metric in history)


def test_a_sweep_is_a_parent_run_with_a_child_a_trial(tracking: Tracking, journal: Journal) -> None:
    """Parameters, curves by step, final metrics, tags and states are all there."""
    sweep = Sweep(journal, "aaaaaaa1")
    stage = journal.begin_stage(sweep.id, "prepare")
    journal.end_stage(
        StageRow(
            sweep=sweep.id,
            stage="prepare",
            state=StageState.COMPLETE,
            started_at=stage.started_at,
            ended_at=stage.started_at,
            outcome={"digest": "f00d"},
        )
    )
    sweep.trial(0)
    sweep.post(sweep.launch("0"), *steps(1, 3))
    health = {"stability": 0.5, "health": 0.5}
    sweep.trial(
        0,
        TrialState.COMPLETE,
        values=(0.3,),
        metrics={"accuracy": 0.3},
        health=health,
        total=0.36,
        step=3,
    )
    sweep.post(sweep.launch("evaluate"), TrialResult(metrics={"accuracy": 0.25}))
    journal.update_sweep(sweep.id, state=SweepState.COMPLETE)
    Recorder(journal, tracking).catch_up()

    row = journal.trials(sweep.id)[0]
    assert row.recorded
    assert row.run is not None
    child = tracking.client.get_run(row.run)
    assert child.info.status == "FINISHED"
    assert child.data.params == {"learning_rate": "0.01", "optimizer": "sgd"}
    assert curve(tracking, row.run) == [(1, 0.1), (2, 0.2), (3, 0.3)]
    assert curve(tracking, row.run, "accuracy") == [(3, 0.3)]
    assert curve(tracking, row.run, "value") == [(3, 0.3)]
    judged = {"health_stability": 0.5, "health": 0.5, "total": 0.36}
    assert judged.items() <= child.data.metrics.items()
    parent = tracking.client.get_run(str(journal.sweep(sweep.id).run))
    wanted = {
        "mlflow.parentRunId": parent.info.run_id,
        "modelyard.trial": "0",
        "modelyard.sampler": "tpe",
        "modelyard.pruner": "median",
        "modelyard.data_digest": "f00d",
        "modelyard.git_commit": "abc123",
        "modelyard.state": "complete",
    }
    assert wanted.items() <= child.data.tags.items()
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics == {"test_accuracy": 0.25}


def test_predictions_lie_beside_the_run(
    tracking: Tracking, journal: Journal, tmp_path: Path
) -> None:
    """The file of all test predictions is an artifact of the sweep's run; one that is gone holds
    up nothing."""
    left = tmp_path / "predictions"
    left.mkdir()
    (left / "predictions.parquet").write_bytes(b"rows")
    kept = FolderStore().commit(left, (tmp_path / "store").as_uri())
    for identity, uri in (("aaaaaab1", kept), ("aaaaaab2", f"{kept}-gone")):
        sweep = Sweep(journal, identity)
        result = TrialResult(metrics={"accuracy": 0.5}, outcome={"predictions": uri})
        sweep.post(sweep.launch("evaluate"), result)
    Recorder(journal, tracking).catch_up()

    with_file, without = (str(journal.sweep(name).run) for name in ("aaaaaab1", "aaaaaab2"))
    assert "predictions.parquet" in artifacts(tracking, with_file)
    assert "predictions.parquet" not in artifacts(tracking, without)
    assert tracking.client.get_run(without).data.metrics == {"test_accuracy": 0.5}


def test_the_first_value_of_a_step_stands(tracking: Tracking, journal: Journal) -> None:
    """Steps that a resumed attempt repeats are skipped; its new ones are added."""
    sweep = Sweep(journal, "aaaaaaa2")
    sweep.trial(0)
    sweep.post(sweep.launch("0"), *steps(1, 3))
    recorder = Recorder(journal, tracking)
    recorder.catch_up()
    sweep.post(sweep.launch("0", 2), *steps(2, 5, offset=0.05))
    recorder.catch_up()
    run = str(journal.trials(sweep.id)[0].run)
    assert curve(tracking, run) == [(1, 0.1), (2, 0.2), (3, 0.3), (4, 0.45), (5, 0.55)]


def test_a_crash_before_the_cursor_makes_no_duplicates(
    tracking: Tracking, journal: Journal
) -> None:
    """All events again, in a new process: the store holds each value once."""
    sweep = Sweep(journal, "aaaaaaa3")
    sweep.trial(0)
    sweep.post(sweep.launch("0"), *steps(1, 4))
    Recorder(journal, tracking).catch_up()
    journal.set_cursor(READER, 0)
    Recorder(journal, tracking).catch_up()
    run = str(journal.trials(sweep.id)[0].run)
    assert curve(tracking, run) == [(1, 0.1), (2, 0.2), (3, 0.3), (4, 0.4)]


def test_a_crash_before_the_run_is_kept_makes_no_second_run(
    tracking: Tracking, journal: Journal, tmp_path: Path
) -> None:
    """A run that the journal doesn't know of is found by its tags."""
    sweep = Sweep(journal, "aaaaaaa4")
    sweep.trial(0)
    sweep.post(sweep.launch("0"), *steps(1, 1))
    Recorder(journal, tracking).catch_up()
    with sqlite3.connect(tmp_path / "journal.db") as database:
        database.execute("UPDATE trials SET run = NULL")
        database.execute("UPDATE sweeps SET run = NULL")
    journal.set_cursor(READER, 0)
    Recorder(journal, tracking).catch_up()
    assert len(runs(tracking, sweep.id, "trial")) == 1
    assert len(runs(tracking, sweep.id, "sweep")) == 1
    assert journal.trials(sweep.id)[0].run is not None


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (TrialState.PRUNED, "KILLED"),
        (TrialState.FAILED, "FAILED"),
        (TrialState.INFEASIBLE, "FAILED"),
        (TrialState.CANCELLED, "KILLED"),
    ],
)
def test_a_trial_without_a_result_ends_its_run_with_its_failure(
    tracking: Tracking, journal: Journal, state: TrialState, status: str
) -> None:
    """Even a trial that never posted anything has a run, with state and category."""
    sweep = Sweep(journal, f"b{state.value[:7]:x<7}")
    failure = FailureView(category="diverged", summary="loss is NaN at step 3")
    sweep.trial(0, state, failure=failure)
    Recorder(journal, tracking).catch_up()
    row = journal.trials(sweep.id)[0]
    run = tracking.client.get_run(str(row.run))
    assert (row.recorded, run.info.status) == (True, status)
    assert run.data.tags["modelyard.state"] == state.value
    assert run.data.tags["modelyard.failure"] == "diverged"


def test_an_interrupted_sweep_runs_again_when_it_is_continued(
    tracking: Tracking, journal: Journal
) -> None:
    """The parent run follows the sweep's state in both directions."""
    sweep = Sweep(journal, "aaaaaaa5")
    recorder = Recorder(journal, tracking)
    seen = []
    for state in (SweepState.RUNNING, SweepState.INTERRUPTED, SweepState.RUNNING):
        journal.update_sweep(sweep.id, state=state)
        recorder.catch_up()
        run = tracking.client.get_run(str(journal.sweep(sweep.id).run))
        seen.append(run.info.status)
    assert seen == ["RUNNING", "KILLED", "RUNNING"]


def test_what_mlflow_refuses_for_ever_does_not_hold_up_the_rest(
    tracking: Tracking, journal: Journal
) -> None:
    """A run that somebody deleted is left alone; the next trial is recorded."""
    sweep = Sweep(journal, "aaaaaaa6")
    for number in (0, 1):
        sweep.trial(number)
        sweep.post(sweep.launch(str(number)), *steps(1, 1))
    recorder = Recorder(journal, tracking)
    recorder.catch_up()
    first, second = (str(row.run) for row in journal.trials(sweep.id))
    tracking.client.delete_run(first)
    sweep.post(LaunchKey(sweep=sweep.id, task="0", number=1), *steps(2, 2))
    sweep.post(LaunchKey(sweep=sweep.id, task="1", number=1), *steps(2, 2))
    recorder.catch_up()
    assert curve(tracking, second) == [(1, 0.1), (2, 0.2)]


def test_a_deleted_parent_run_is_left_alone_and_said_once(
    tracking: Tracking, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    """Who deletes a sweep's run in MLflow meant it."""
    sweep = Sweep(journal, "aaaaaaa8")
    recorder = Recorder(journal, tracking)
    recorder.catch_up()
    run = str(journal.sweep(sweep.id).run)
    tracking.client.delete_run(run)
    journal.update_sweep(sweep.id, state=SweepState.COMPLETE)
    for _ in range(2):
        recorder.catch_up()
    said = [r for r in caplog.records if sweep.id in r.getMessage()]
    assert len(said) == 1
    assert str(journal.sweep(sweep.id).run) == run


class Weak(Tracking):
    """A store that is there, but whose client does some of its methods in its own way.

    Args:
        real: it has.
        methods: those, by name; given the real client first.
    """

    def __init__(self, real: Tracking, **methods: Callable[..., object]) -> None:
        super().__init__(real.tracking_uri, real.artifact_root)
        self.real = real
        self.methods = methods

    @property
    def client(self) -> object:  # type: ignore[override]
        return self

    def __getattr__(self, name: str) -> object:
        if name in self.__dict__["methods"]:
            return partial(self.methods[name], self.real.client)
        return getattr(self.real.client, name)


def test_a_run_that_was_made_though_nobody_heard_of_it_is_found_again(
    tracking: Tracking, journal: Journal
) -> None:
    """The answer of create_run may be lost: the next try takes that run, and makes no second."""
    sweep, lost = Sweep(journal, "aaaaaaa9"), list[str]()
    for number in (0, 1):
        sweep.trial(number)
        sweep.post(sweep.launch(str(number)), *steps(1, 1))

    def create_run(client: Any, *args: Any, **rest: Any) -> object:
        made = client.create_run(*args, **rest)
        if rest["run_name"] == "trial-1" and not lost:
            lost.append(made.info.run_id)
            raise ConnectionError("reset by peer")
        return made

    recorder = Recorder(journal, Weak(tracking, create_run=create_run))
    with pytest.raises(ConnectionError):
        recorder.catch_up()
    recorder.catch_up()

    assert [str(journal.trials(sweep.id)[1].run)] == lost
    assert len(runs(tracking, sweep.id, "trial")) == 2
    assert curve(tracking, lost[0]) == [(1, 0.1)]


def test_what_mlflow_refuses_of_a_trial_takes_nothing_else_with_it(
    tracking: Tracking, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    """A parameter, a metric and a tag that it never takes are named; all others are written and
    the run is ended."""
    sweep = Sweep(journal, "aaaaaab3")

    def log_batch(client: Any, run: str, metrics: Any, params: Any, tags: Any) -> None:
        if any(tag.value == "too long" for tag in tags):
            raise MlflowException("tag too long", error_code=INVALID_PARAMETER_VALUE)
        client.log_batch(run, metrics, params, tags)

    recorder = Recorder(journal, Weak(tracking, log_batch=log_batch))
    parameters = {"learning_rate": 0.01, "../rate": 0.1, "optimizer": "sgd"}
    sweep.trial(0, parameters=parameters)
    sweep.post(sweep.launch("0"), *steps(1, 2))
    sweep.trial(
        0,
        TrialState.FAILED,
        parameters=parameters,
        values=(0.5,),
        metrics={"../accuracy": 0.5, "accuracy": 0.5},
        failure=FailureView(category="bug", summary="too long"),
        step=3,
    )
    recorder.catch_up()

    row = journal.trials(sweep.id)[0]
    run = tracking.client.get_run(str(row.run))
    assert run.data.params == {"learning_rate": "0.01", "optimizer": "sgd"}
    assert run.data.metrics == {"accuracy": 0.5, "value": 0.5, "validation_accuracy": 0.2}
    assert run.data.tags["modelyard.failure"] == "bug"
    assert (row.recorded, run.info.status) == (True, "FAILED")
    said = " ".join(record.getMessage() for record in caplog.records)
    for entry in ("param '../rate'", "metric '../accuracy'", "runtag 'modelyard.failure_summary'"):
        assert said.count(entry) == 1


def test_a_metric_that_mlflow_refuses_is_said_once_and_counted_at_the_end(
    tracking: Tracking, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    """A point an epoch for hundreds of epochs would fill the log; what it takes is written."""
    sweep, recorder = Sweep(journal, "aaaaaab4"), Recorder(journal, tracking)
    sweep.trial(0)
    key = sweep.launch("0")
    for step in range(1, 4):
        sweep.post(key, Metrics(step=step, values={"../loss": 0.5, "accuracy": step / 10}))
        recorder.catch_up()
    run = str(journal.trials(sweep.id)[0].run)
    sweep.trial(0, TrialState.FAILED, failure=FailureView(category="bug", summary="x"), step=3)
    recorder.catch_up()

    said = [text for text in caplog.messages if "'../loss'" in text]
    assert said[0].startswith(f"MLflow refuses metric '../loss' of run {run}: ")
    assert said[1:] == [f"MLflow refused metric '../loss' of run {run} 3 times"]
    assert curve(tracking, run, "accuracy") == [(1, 0.1), (2, 0.2), (3, 0.3)]


class Away(Tracking):
    """A store that can't be reached until it is let back."""

    def __init__(self, real: Tracking) -> None:
        super().__init__(real.tracking_uri, real.artifact_root)
        self.real = real
        self.back = threading.Event()
        self.asked = threading.Semaphore(0)

    @property
    def client(self) -> object:  # type: ignore[override]
        self.asked.release()
        if not self.back.is_set():
            raise ConnectionError("connection refused")
        return self.real.client


def test_while_mlflow_is_away_nothing_is_lost_and_it_is_said_once(
    tracking: Tracking, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    """The thread tries again with growing pauses, and catches up when MLflow is back."""
    sweep = Sweep(journal, "aaaaaaa7")
    sweep.trial(0)
    sweep.post(sweep.launch("0"), *steps(1, 2))
    away = Away(tracking)
    recorder = Recorder(journal, away)
    recorder.start()
    for _ in range(2):
        assert away.asked.acquire(timeout=120)
    assert journal.get_cursor(READER) == 0
    away.back.set()
    recorder.stop(timeout_seconds=120)
    run = str(journal.trials(sweep.id)[0].run)
    assert curve(tracking, run) == [(1, 0.1), (2, 0.2)]
    said = [r.getMessage() for r in caplog.records if r.name == "modelyard.registry.recorder"]
    assert len([line for line in said if "connection refused" in line]) == 1
