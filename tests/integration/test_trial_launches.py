"""Whole launches on real data: stages, stops, resumes and every other way to end."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelyard.contract import Exit, LaunchKey, Stage, Stop, TrialResult, Variable
from modelyard.executor import Job, LaunchRequest
from modelyard.health.numbers import read
from modelyard.store.folder import FolderStore
from modelyard.store.store import join
from tests.contract.executor_suite import Bench, has_ended
from tests.support.held import FAMILY, Held
from tests.support.local_bench import local_bench

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """One executor and intake for the module; each launch has a key of its own."""
    with local_bench(tmp_path_factory.mktemp("home")) as bench:
        yield bench


@pytest.fixture(scope="module")
def snapshot(bench: Bench) -> str:
    """URI of the iris table, prepared once."""
    return bench.snapshot()


def result_of(bench: Bench, request: LaunchRequest) -> TrialResult:
    """Carry out a launch that must succeed."""
    job = bench.run(bench.carry_out(request))
    assert job.evidence.exit_code == Exit.ACCEPTED, job.evidence.log_tail
    (result,) = bench.told(request.spec.key, "result")
    assert isinstance(result, TrialResult)
    return result


def launched(bench: Bench, request: LaunchRequest, until: str) -> LaunchKey:
    """Launch and wait for the first event of a kind."""
    bench.run(bench.executor.launch((request,)))
    bench.wait_for(request.spec.key, until)
    return request.spec.key


def end_of(bench: Bench, key: LaunchKey) -> Job:
    """The job once it is over."""
    return bench.run(bench.reaches(key, has_ended))


def second(bench: Bench, request: LaunchRequest, **changes: Any) -> LaunchRequest:
    """The next launch of the same task, resuming from the earlier ones."""
    key = request.spec.key
    spec = request.spec.model_copy(
        update={
            "key": key.model_copy(update={"number": key.number + 1}),
            "resume": join(bench.store, "sweeps", key.sweep, key.task),
            **changes,
        }
    )
    return LaunchRequest(spec=spec, resources=request.resources, environment=request.environment)


def numbers(bench: Bench, key: LaunchKey) -> dict[int, dict[str, float]]:
    """Metrics by epoch."""
    return {body.step: body.values for body in bench.told(key, "metrics")}


def test_a_trial_tells_its_whole_story(bench: Bench, snapshot: str) -> None:
    """Started first, result last, numbers without gaps; model and kept numbers are in the store."""
    request = bench.request(Stage.TRIAL, epochs=2, inputs={"snapshot": snapshot})
    result = result_of(bench, request)
    events = bench.intake.events(request.spec.key)
    kinds = [event.body.kind for event in events]

    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert (kinds[0], kinds[-1]) == ("started", "result")
    assert kinds.count("metrics") == kinds.count("checkpoint") == 2
    assert bench.told(request.spec.key, "started")[0].threads == 1
    assert result.model is not None
    assert FolderStore().fetch(result.model).is_dir()
    assert (
        result.metrics["accuracy"]
        == numbers(bench, request.spec.key)[result.step or 0]["validation_accuracy"]
    )
    kept = read(FolderStore().fetch(result.outcome["numbers"])).numbers
    assert kept.gradients is not None
    assert kept.gradients.epochs == (1, 2)
    assert {"utilisation", "efficiency", "gradients", "health"} == result.health.keys()
    assert result.peak_memory_bytes > 50 << 20


def test_candidate_and_champion_are_judged_on_the_same_rows(bench: Bench, snapshot: str) -> None:
    """Evaluate gives metrics, confusion and the champion's metrics; an equal model is equal."""
    fit = bench.request(Stage.TRIAL, epochs=2, inputs={"snapshot": snapshot})
    model = str(result_of(bench, fit).model)
    inputs = {"snapshot": snapshot, "model": model, "champion": model}
    result = result_of(bench, bench.request(Stage.EVALUATE, inputs=inputs))
    matrix = result.outcome["confusion"]["matrix"]

    assert result.outcome["champion"]["metrics"] == result.metrics
    assert sum(map(sum, matrix)) == result.outcome["rows"]
    kept = FolderStore().fetch(result.outcome["predictions"])
    assert [file.name for file in kept.glob("*.parquet")] == ["predictions.parquet"]


def test_a_champion_that_can_t_be_read_stops_nothing(bench: Bench, snapshot: str) -> None:
    """The candidate is evaluated, and why there is no comparison is said."""
    fit = bench.request(Stage.TRIAL, epochs=1, inputs={"snapshot": snapshot})
    model = str(result_of(bench, fit).model)
    gone = join(bench.store, "nowhere")
    inputs = {"snapshot": snapshot, "model": model, "champion": gone}
    result = result_of(bench, bench.request(Stage.EVALUATE, inputs=inputs))

    assert result.outcome["champion"] is None
    assert gone in result.outcome["champion_error"]


def test_a_killed_trial_goes_on_bit_for_bit(bench: Bench, snapshot: str, tmp_path: Path) -> None:
    """kill -9, next launch: it resumes, and its numbers are those of a fit never interrupted."""
    epochs, held = 40, Held(tmp_path / "code")
    rest: dict[str, Any] = {
        "epochs": epochs,
        "inputs": {"snapshot": snapshot},
        "model": FAMILY,
        "code": held.commit(bench.store),
    }
    held.let_go()
    whole = bench.request(Stage.TRIAL, **rest)
    expected = result_of(bench, whole)
    held.hold()
    first = bench.request(Stage.TRIAL, **rest)
    key = launched(bench, first, until="checkpoint")
    os.kill(bench.told(key, "started")[0].process, signal.SIGKILL)
    end_of(bench, key)
    held.let_go()
    next_launch = second(bench, first)
    result = result_of(bench, next_launch)

    resumed = bench.told(next_launch.spec.key, "started")[0].resumed_epoch
    assert resumed is not None
    assert resumed >= 1
    assert min(numbers(bench, next_launch.spec.key)) == resumed + 1
    assert result.metrics == expected.metrics
    assert numbers(bench, next_launch.spec.key)[epochs] == numbers(bench, whole.spec.key)[epochs]


def test_a_killed_trial_keeps_the_repeats_it_had_finished(
    bench: Bench, snapshot: str, tmp_path: Path
) -> None:
    """kill -9 behind the first of three: the next launch fits the other two, to equal numbers."""
    epochs, held = 15, Held(tmp_path / "code")
    rest: dict[str, Any] = {
        "epochs": epochs,
        "inputs": {"snapshot": snapshot},
        "data": {"repeats": 3},
        "model": FAMILY,
        "code": held.commit(bench.store),
    }
    held.let_go()
    whole = bench.request(Stage.TRIAL, **rest)
    expected = result_of(bench, whole)
    held.hold()
    held.let_one_go()
    first = bench.request(Stage.TRIAL, **rest)
    key = launched(bench, first, until="metrics")
    os.kill(bench.told(key, "started")[0].process, signal.SIGKILL)
    end_of(bench, key)
    held.let_go()
    next_launch = second(bench, first)
    result = result_of(bench, next_launch)

    assert bench.told(next_launch.spec.key, "started")[0].resumed_epoch >= epochs - 1
    assert numbers(bench, next_launch.spec.key) == numbers(bench, whole.spec.key)
    assert numbers(bench, whole.spec.key).keys() == {1, 2, 3}
    assert (result.metrics, result.model) == (expected.metrics, None)
    assert [one["metrics"]["accuracy"] for one in result.outcome["folds"]] == [
        values["validation_accuracy"] for values in numbers(bench, whole.spec.key).values()
    ]


def test_a_damaged_checkpoint_is_passed_over_and_said(bench: Bench, snapshot: str) -> None:
    """The one before is used, and the log names the damaged one."""
    request = bench.request(Stage.TRIAL, epochs=4, inputs={"snapshot": snapshot})
    result_of(bench, request)
    key = request.spec.key
    newest = join(bench.store, "sweeps", key.sweep, key.task, "1", "checkpoints", "000004")
    max(FolderStore().fetch(newest).glob("*.safetensors")).write_bytes(b"short")
    next_launch = second(bench, request)
    result_of(bench, next_launch)
    lines = [x for body in bench.told(next_launch.spec.key, "log") for x in body.lines]

    assert bench.told(next_launch.spec.key, "started")[0].resumed_epoch == 3
    assert any("000004" in line and "passed over" in line for line in lines)


def test_the_intakes_stop_ends_a_fit_with_its_checkpoint(bench: Bench, snapshot: str) -> None:
    """A reply's stop is obeyed within a batch: checkpoint told, exit code 75, no result."""
    request = bench.request(Stage.TRIAL, epochs=1_000_000, inputs={"snapshot": snapshot})
    key = request.spec.key
    bench.intake.stops[str(key)] = Stop.PRUNED
    bench.run(bench.executor.launch((request,)))

    assert end_of(bench, key).evidence.exit_code == Exit.STOPPED
    assert bench.told(key, "result") == []


def test_an_older_launch_is_fenced(bench: Bench, snapshot: str) -> None:
    """409 ends the program at once with 79."""
    request = bench.request(Stage.TRIAL, epochs=1_000_000, inputs={"snapshot": snapshot})
    key = launched(bench, request, until="checkpoint")
    bench.intake.fenced.add(str(key))

    assert end_of(bench, key).evidence.exit_code == Exit.FENCED


def test_a_diverged_fit_says_where(bench: Bench, snapshot: str) -> None:
    """Exit code 78, with step and learning rate."""
    request = bench.request(
        Stage.TRIAL, parameters={"learning_rate": 1e30}, inputs={"snapshot": snapshot}
    )
    job = bench.run(bench.carry_out(request))
    (failure,) = bench.told(request.spec.key, "failure")

    assert job.evidence.exit_code == failure.exit == Exit.DIVERGED
    assert failure.step >= 1
    assert "learning rate" in failure.summary


def test_a_missing_snapshot_is_a_matter_of_configuration(bench: Bench) -> None:
    """It would fail every trial alike, so it is 76, and the URI is named."""
    uri = join(bench.store, "data", "0" * 64)
    request = bench.request(Stage.TRIAL, inputs={"snapshot": uri})
    job = bench.run(bench.carry_out(request))

    assert job.evidence.exit_code == Exit.CONFIGURATION
    assert uri in bench.told(request.spec.key, "failure")[0].summary


def test_nothing_is_lost_while_the_intake_is_away(bench: Bench, snapshot: str) -> None:
    """Events of an outage arrive after it, once each; the fit went on meanwhile."""
    request = bench.request(Stage.TRIAL, epochs=60, inputs={"snapshot": snapshot})
    key = launched(bench, request, until="checkpoint")
    bench.intake.status = 503
    try:
        saved = Path(bench.store.removeprefix("file://"), "sweeps", key.sweep, key.task, "1")
        bench.run(model_written(saved / "model" / "manifest.json"))
    finally:
        bench.intake.status = 200
    job = end_of(bench, key)
    steps = [body.step for body in bench.intake.bodies(key, "metrics")]  # type: ignore[union-attr]

    assert job.evidence.exit_code == Exit.ACCEPTED
    assert steps == list(range(1, 61))


async def model_written(path: Path) -> None:
    """Until a file is there, which tells that the fit ended although nobody listens."""
    while not path.exists():
        await asyncio.sleep(0.02)


def test_a_wrong_token_is_said_once(bench: Bench) -> None:
    """401: configuration, and the server's sentence is in the evidence; the token is nowhere."""
    request = bench.request()
    request.environment[Variable.TOKEN.value] = "wrong-secret"
    bench.intake.token = "right-secret"
    try:
        job = bench.run(bench.carry_out(request))
    finally:
        bench.intake.token = None

    assert job.evidence.exit_code == Exit.CONFIGURATION
    assert "401" in job.evidence.log_tail
    assert "secret" not in job.evidence.log_tail
