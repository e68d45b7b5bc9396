"""MLflow itself: imported late, quietly, and opened by one process at a time."""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow import MlflowClient

ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # Its own retries would make a second run where only an answer was lost. We look before.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}
"""What MLflow reads: no telemetry, no pickle, no progress bars, one try for each request."""

LOUD = {
    "mlflow": logging.WARNING,
    "alembic": logging.WARNING,
    # It prints a traceback for each locked database; the caller says it in one line.
    "mlflow.store.db.utils": logging.CRITICAL,
    # It warns of each value that it shortens.
    "mlflow.utils.validation": logging.ERROR,
}


def quieten() -> None:
    """Set what MLflow reads at import; variables that the user set stay.

    Its own modules use what pandas and SQLAlchemy deprecate, and are warned of it; there is
    nothing that a user could do.
    """
    warnings.filterwarnings("ignore", module="mlflow")
    for variable, value in {**ENVIRONMENT, **_s3()}.items():
        os.environ.setdefault(variable, value)
    for name, level in LOUD.items():
        logging.getLogger(name).setLevel(level)


def _s3() -> dict[str, str]:
    """What MLflow's own S3 client has to be told: it reads artifacts where ours does."""
    given = {
        "MLFLOW_S3_ENDPOINT_URL": os.environ.get("AWS_ENDPOINT_URL_S3")
        or os.environ.get("AWS_ENDPOINT_URL"),
        "AWS_DEFAULT_REGION": os.environ.get("AWS_REGION"),
        # As in ``store.s3``: not every endpoint knows checksums in trailers.
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
        "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
    }
    return {name: value for name, value in given.items() if value}


def open_client(tracking_uri: str) -> MlflowClient:
    """A client on a store that exists and is migrated.

    Three processes that open a fresh SQLite store at once all die in its migrations, so a file
    lock lets them in one by one.
    """
    quieten()
    import mlflow
    import mlflow.pyfunc
    from mlflow import MlflowClient

    quieten()  # the import sets its own levels
    file = sqlite_file(tracking_uri)
    with _alone(file):
        # Some calls of a client still ask for the store of the process.
        mlflow.set_tracking_uri(tracking_uri)
        client = MlflowClient(tracking_uri, registry_uri=tracking_uri)
        client.search_experiments(max_results=1)
        client.search_registered_models(max_results=1)
        if file is not None:
            _write_ahead(file)
    return client


def sqlite_file(tracking_uri: str) -> Path | None:
    """The file of a ``sqlite:///`` URI, None for anything else."""
    prefix = "sqlite:///"
    return Path(tracking_uri.removeprefix(prefix)) if tracking_uri.startswith(prefix) else None


@contextmanager
def _alone(file: Path | None) -> Iterator[None]:
    if file is None:
        yield
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    with open(file.with_name(f".{file.name}.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _write_ahead(file: Path) -> None:
    """Let ``mlflow ui`` read while we write; the mode stays with the file."""
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
