"""MLflow for tests: one store a session, as a fresh one takes seconds to migrate, and a server."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

from modelyard.local import services
from modelyard.registry.tracking import Tracking
from tests.support.ports import reserved_port

START_SECONDS = 600.0


def shared_tracking(factory: pytest.TempPathFactory) -> Tracking:
    """The session's store, opened. Tests keep apart by the names of models and sweeps."""
    return _opened(factory.getbasetemp() / "shared-mlflow")


@contextmanager
def mlflow_server(folder: Path, store: str | None = None) -> Iterator[str]:
    """A real server; its address.

    Args:
        folder: for its log, artifacts, and its store unless one is given.
        store: URI of a store that is migrated already.
    """
    folder.mkdir(exist_ok=True)
    address = f"http://127.0.0.1:{reserved_port()}"
    port = address.rpartition(":")[2]
    environment = {
        **os.environ,
        "_MLFLOW_SERVER_FILE_STORE": store or f"sqlite:///{folder}/mlflow.db",
        "_MLFLOW_SERVER_ARTIFACT_ROOT": str(folder),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_SERVER_ALLOWED_HOSTS": "*",
    }
    # The program that `mlflow server` starts, without the seconds that its own command takes.
    argv = [sys.executable, "-m", "uvicorn", "mlflow.server.fastapi_app:app", "--port", port]
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(argv, env=environment, stdout=log, stderr=log) as process,
    ):
        try:
            services.wait_ready(f"{address}/health", START_SECONDS)
            yield address
        finally:
            process.terminate()


@cache
def _opened(home: Path) -> Tracking:
    tracking = Tracking(f"sqlite:///{home}/mlflow.db", str(home / "mlflow-artifacts"))
    tracking.open()
    return tracking
