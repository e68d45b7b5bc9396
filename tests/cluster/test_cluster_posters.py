"""Five hundred trials that post at once to a server as it stands in a cluster."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import quantiles

import pytest

from modelyard.api import SweepRequest
from modelyard.contract import Document, LaunchKey, Stage, TrialSpec, Variable
from modelyard.experiment.load import experiment_from
from modelyard.journal.journal import Journal
from tests.support.cost import Cost
from tests.support.host_server import ROOT, HostServer, host_server
from tests.support.posters import EPOCHS, EVENTS
from tests.support.postgres import Postgres, postgres

__all__ = ["postgres"]

pytestmark = [pytest.mark.cluster, pytest.mark.slow_cluster]

TRIALS, PROCESSES = 500, 4
SHARE = TRIALS // PROCESSES
SWEEP = "postpost"


@pytest.fixture
def server(tmp_path: Path, postgres: Postgres) -> Iterator[HostServer]:
    """A server whose journal has a sweep with an open launch for each of the trials."""
    database = postgres.database(like=postgres.migrated)
    journal = Journal.open(database, lease_seconds=60)
    journal.acquire("")
    given = experiment_from({"name": "posters", "data": {"source": "sklearn:iris"}})
    document = Document(experiment=given.to_document(), store="s3://modelyard/test")
    journal.create_sweep(SWEEP, SweepRequest(experiment=document.experiment), document)
    keys = [LaunchKey(sweep=SWEEP, task=str(number), number=1) for number in range(TRIALS)]
    journal.commit_launches(
        [TrialSpec(key=key, stage=Stage.TRIAL, document=document.digest) for key in keys]
    )
    journal.release()
    journal.close()
    with host_server(tmp_path, database) as server:
        yield server


def start(server: HostServer, first: int, folder: Path) -> subprocess.Popen[bytes]:
    """A process that posts for a share of the trials."""
    folder.mkdir()
    words = [server.address, SWEEP, str(first), str(SHARE), str(folder)]
    return subprocess.Popen(
        [sys.executable, "-m", "tests.support.posters", *words],
        env={**os.environ, "PYTHONPATH": str(ROOT), Variable.TOKEN.value: server.api_key},
    )


def test_of_what_five_hundred_trials_post_nothing_is_lost(
    server: HostServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A subscriber gets each event once, those of a trial in their order; how late is printed."""
    seen: dict[str, list[tuple[str, int | None]]] = {}
    stored, late = [], []
    cost, begun = Cost(), time.monotonic()
    with server.client() as client, ExitStack() as stack, cost.of(server.process):
        stream = client.events(SWEEP, 0)
        posting = [
            stack.enter_context(start(server, first, tmp_path / f"posters-{first}"))
            for first in range(0, TRIALS, SHARE)
        ]
        for count, event in enumerate(stream, start=1):
            seen.setdefault(event.task, []).append((event.body["kind"], event.body.get("step")))
            if event.body["kind"] == "metrics":
                made_at = event.body["values"]["made_at"]
                stored.append(event.received_at - made_at)
                late.append(time.time() - made_at)
            if count == TRIALS * EVENTS:
                break
        codes = [process.wait() for process in posting]
    rate = len(late) / (time.monotonic() - begun)
    with capsys.disabled():
        print(
            f"\n{TRIALS} posters, {rate:.0f} metrics/s: stored after {_spread(stored)}, at a "
            f"subscriber after {_spread(late)}; {cost.cores:.2f} cores, {cost.megabytes:.0f} MB"
        )

    assert codes == [0] * PROCESSES
    steps = [("metrics", step) for step in range(1, EPOCHS + 1)]
    whole = (("phase", None), *steps, ("result", EPOCHS))
    assert Counter(map(tuple, seen.values())) == {whole: TRIALS}


def _spread(seconds: list[float]) -> str:
    found = quantiles(seconds, n=100)
    return f"{1000 * found[49]:.0f} ms (p50) and {1000 * found[98]:.0f} ms (p99)"
