"""Our server for a benchmark, with launches of a sweep that nobody runs: they may post."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from modelyard.api import SweepRequest
from modelyard.contract import Document, LaunchKey, Stage, TrialSpec
from modelyard.experiment.load import experiment_from
from modelyard.journal.journal import Journal
from modelyard.journal.migrate import migrate
from modelyard.local import services
from modelyard.local.ports import free_port
from modelyard.settings import Paths


@contextmanager
def serving(home: Path, launches: Iterable[LaunchKey]) -> Iterator[str]:
    """A server in a process of its own; its address.

    Args:
        home: the installation's folder; fresh.
        launches: of one sweep, which are open.
    """
    paths = Paths(home)
    _open(paths, tuple(launches))
    address = f"http://127.0.0.1:{free_port()}"
    argv = ("--home", str(paths.home), "--port", address.rpartition(":")[2])
    service = services.start(
        "server",
        [sys.executable, "-P", "-m", "modelyard.server", *argv],
        env=dict(os.environ),
        address=address,
        run=None,
        paths=paths,
    )
    try:
        services.wait_ready(f"{address}/readyz", 90, service=service)
        _settle(paths)
        yield address
    finally:
        services.stop_all(paths)


def _open(paths: Paths, launches: tuple[LaunchKey, ...]) -> None:
    """A sweep with these launches, in a journal that the server then takes over."""
    services.prepare_home(paths)
    url = f"sqlite:///{paths.journal}"
    migrate(url)
    journal = Journal.open(url, lease_seconds=10)
    journal.acquire("")
    experiment = experiment_from({"name": "bench", "data": {"source": "sklearn:iris"}})
    document = Document(experiment=experiment.to_document(), store=paths.artifacts.as_uri())
    sweep = launches[0].sweep
    journal.create_sweep(sweep, SweepRequest(experiment=document.experiment), document)
    for key in launches:
        journal.commit_launches([TrialSpec(key=key, stage=Stage.TRIAL, document=document.digest)])
    journal.release()
    journal.close()


def _settle(paths: Paths) -> None:
    """Wait until the server's own start is over: MLflow's store is made in its recorder."""
    deadline = time.monotonic() + 60
    while not paths.mlflow.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(5)
