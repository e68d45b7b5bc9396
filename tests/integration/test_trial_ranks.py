"""A launch of two nodes on one machine: the program starts the other rank, and ends with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psutil
import pytest
from torch.distributed import TCPStore

from modelyard.contract import (
    Document,
    Exit,
    Failure,
    LaunchKey,
    Stage,
    TrialResult,
    TrialSpec,
    Variable,
)
from modelyard.data.snapshot import open_snapshot
from modelyard.store.folder import FolderStore
from modelyard.store.store import join
from modelyard.train.fit import fit
from modelyard.trial.checkpoints import newest_whole
from tests.support.fitting import Recorder, job, table
from tests.support.intake import Intake, running_intake
from tests.support.ports import reserved_port

pytestmark = [pytest.mark.integration, pytest.mark.slow]

DEADLINE = 600.0
TRAIN = {"batch_size": 32, "schedule": "constant", "optimizer": "sgd", "learning_rate": 0.1}
PARAMETERS = {"hidden": 16, "norm": "none"}


@pytest.fixture(scope="module")
def intake() -> Iterator[Intake]:
    """A real HTTP intake."""
    with running_intake() as intake:
        yield intake


@contextmanager
def launched(
    intake: Intake,
    folder: Path,
    number: int,
    *,
    epochs: int = 3,
    environment: Mapping[str, str] = MappingProxyType({}),
    **train: Any,
) -> Iterator[subprocess.Popen[str]]:
    """The trial program, as an executor would start it."""
    snapshot = folder / "snapshot"
    if not snapshot.exists():
        table(snapshot)
    store = FolderStore()
    base = (folder / "store").as_uri()
    data = store.commit(snapshot.rename(folder / "moved"), join(base, "data", "digits"))
    wanted = job(
        open_snapshot(store.fetch(data)),
        folder,
        epochs=epochs,
        train={**TRAIN, **train},
        resources={"nodes": 2},
        model={"family": "mlp", "parameters": PARAMETERS},
    ).experiment
    key = LaunchKey(sweep="ranksabc", task="0", number=number)
    spec = TrialSpec(
        key=key,
        stage=Stage.TRIAL,
        document=intake.add(Document(experiment=wanted.to_document(), store=base)),
        seed=3,
        epochs=epochs,
        inputs={"snapshot": data},
    )
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "modelyard.trial"],
        env={
            **os.environ,
            Variable.SPEC: spec.to_json(),
            Variable.SERVER: intake.address,
            Variable.SCRATCH: str(folder / "scratch"),
            **environment,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_two_ranks_report_one_result(intake: Intake, tmp_path: Path) -> None:
    """That of one process with the doubled batch; rank 0 alone has spoken."""
    with launched(intake, tmp_path, 1) as process:
        said, _ = process.communicate(timeout=DEADLINE)
    table(tmp_path / "again")
    alone = fit(
        job(
            open_snapshot(tmp_path / "again"),
            tmp_path,
            train={**TRAIN, "batch_size": 64},
            parameters=PARAMETERS,
        ),
        Recorder(),
    )

    assert process.returncode == Exit.ACCEPTED, said
    (result,) = intake.bodies("ranksabc-0-1", "result")
    assert isinstance(result, TrialResult)
    assert result.metrics == pytest.approx(alone.metrics, rel=1e-3)
    assert len(intake.bodies("ranksabc-0-1", "started")) == 1


def test_a_rank_that_is_killed_ends_the_launch_with_a_checkpoint(
    intake: Intake, tmp_path: Path
) -> None:
    """As if the launch had been preempted: exit code 75, and the next one goes on."""
    key = "ranksabc-0-2"
    with launched(intake, tmp_path, 2, epochs=10_000, checkpoint_every=1000) as process:
        # The first epoch is remembered for a checkpoint after it was told, the second being told.
        intake.wait_for(lambda: len(intake.bodies(key, "metrics")) > 1, DEADLINE)
        (other,) = psutil.Process(process.pid).children()
        other.kill()
        said, _ = process.communicate(timeout=DEADLINE)

    assert process.returncode == Exit.STOPPED, said
    # Not asked of the intake: a launch that is stopped waits only briefly for its last words.
    base = (tmp_path / "store").as_uri()
    assert newest_whole(FolderStore(), join(base, "sweeps", "ranksabc", "0"), before=3).epoch > 0


def test_no_rank_outlives_the_launch(intake: Intake, tmp_path: Path) -> None:
    """Killed without a word, rank 0 takes the other with it."""
    with launched(intake, tmp_path, 3, epochs=10_000) as process:
        intake.wait_for(lambda: bool(intake.bodies("ranksabc-0-3", "metrics")), DEADLINE)
        (other,) = psutil.Process(process.pid).children()
        process.kill()
        other.wait(DEADLINE)

    assert not other.is_running()


def test_a_rank_that_never_gets_to_the_others_ends_the_launch(
    intake: Intake, tmp_path: Path
) -> None:
    """With its own exit code, and not after the quarter of an hour that a pod is waited for."""
    (tmp_path / "scratch").mkdir()
    (tmp_path / "scratch" / "rank-1").touch()  # where its folder should be
    with launched(intake, tmp_path, 4) as process:
        said, _ = process.communicate(timeout=DEADLINE)

    assert process.returncode == Exit.CONFIGURATION, said
    (failure,) = intake.bodies("ranksabc-0-4", "failure")
    assert isinstance(failure, Failure)
    assert "rank 1 of this trial ended with exit code 76" in failure.summary


def test_a_launch_that_waits_for_another_node_can_be_stopped(
    intake: Intake, tmp_path: Path
) -> None:
    """At once: there is nothing to save."""
    port, patience = reserved_port(), timedelta(seconds=DEADLINE)
    node = {"JOB_COMPLETION_INDEX": "0", "MASTER_PORT": str(port), "MASTER_ADDR": "127.0.0.1"}
    with launched(intake, tmp_path, 5, environment=node) as process:
        # There once the first node waits for the second.
        TCPStore("127.0.0.1", port, is_master=False, wait_for_workers=False, timeout=patience)
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=DEADLINE)

    assert process.returncode == Exit.STOPPED, said
