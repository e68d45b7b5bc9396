"""Our server for a benchmark, with launches of a sweep that nobody runs: they may post."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from modelyard.api import SweepRequest
from modelyard.client import Client
from modelyard.contract import Document, LaunchKey, Stage, TrialSpec
from modelyard.errors import ServerRefused
from modelyard.experiment.load import experiment_from
from modelyard.journal.journal import Journal
from modelyard.journal.migrate import migrate
from modelyard.local import services
from modelyard.local.ports import free_port
from modelyard.settings import Paths

START_SECONDS = 90.0
"""Longest that a server's start may take."""


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
        services.wait_ready(f"{address}/readyz", START_SECONDS, service=service)
        _settle(address)
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


def _settle(address: str) -> None:
    """Wait until the server's own start is over, the last of which is that it makes MLflow's
    store: a question to the registry is answered once that is open."""
    with Client(address, patience_seconds=START_SECONDS) as client, suppress(ServerRefused):
        client.patiently(lambda: client.versions("bench"))
