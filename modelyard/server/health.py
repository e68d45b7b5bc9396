"""How the server and what it depends on are: asked anew each time."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import httpx

import modelyard
from modelyard.api import Health
from modelyard.errors import ModelyardError
from modelyard.server.live import LiveJournal
from modelyard.server.stages import Stages
from modelyard.settings import Settings
from modelyard.store.place import place_of
from modelyard.store.s3 import S3

NEEDED = ("journal", "executor", "store")
"""Without these nothing can be run. The others catch up once they are back."""

STORE_SECONDS = 5.0
"""Longest that a bucket may take to say that it is there."""

TRACKING_SECONDS = 2.0
"""Longest that an MLflow server may take to say how it is."""


class Checks:
    """Asks each dependency.

    Args:
        journal: read once.
        stages: knows whether the executor still reports.
        settings: say where journal, studies and runs are kept.
        epoch: of the lease.
    """

    def __init__(
        self, *, journal: LiveJournal, stages: Stages, settings: Settings, epoch: int
    ) -> None:
        self._journal = journal
        self._stages = stages
        self._settings = settings
        self._epoch = epoch
        self._s3 = S3(attempts=1, read_seconds=STORE_SECONDS)

    def look(self) -> Health:
        """The state now; ``ok`` while sweeps can be run."""
        journal = self._read_journal()
        paths = self._settings.paths
        shared = self._settings.database is not None
        tracking = self._settings.tracking
        checks = {
            "journal": journal,
            "optuna": journal if shared else _read_file(paths.optuna),
            "mlflow": _read_file(paths.mlflow) if tracking is None else _ask_tracking(tracking),
            "executor": "ok" if self._stages.executing else "the executor doesn't report",
            "store": self._look_at_store(),
        }
        well = all(checks[name] == "ok" for name in NEEDED)
        return Health(
            status="ok" if well else "failing",
            version=modelyard.__version__,
            epoch=self._epoch,
            checks=checks,
        )

    def _read_journal(self) -> str:
        try:
            self._journal.now()
        except ModelyardError as error:
            return str(error)
        return "ok"

    def _look_at_store(self) -> str:
        try:
            look_at_store(self._settings, self._s3)
        except ModelyardError as error:
            return str(error)
        return "ok"


def look_at_store(settings: Settings, s3: S3 | None = None) -> None:
    """Raise what is wrong with the bucket of the artifacts; a folder is made when it is needed.

    Raises:
        InputError: bucket, keys, region or endpoint can't be right.
        ModelyardError: it is away.
    """
    if settings.store_base.startswith("s3:"):
        s3 = s3 or S3(attempts=1, read_seconds=STORE_SECONDS)
        s3.look(place_of(settings.store_base).bucket)


def _read_file(file: Path) -> str:
    """Whether a SQLite file can be read; one that isn't there yet is made when needed."""
    if not file.exists():
        return "ok"
    try:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True, timeout=1)) as database:
            database.execute("PRAGMA schema_version").fetchone()
    except sqlite3.Error as error:
        return f"{file} can't be read: {error}"
    return "ok"


def _ask_tracking(address: str) -> str:
    """Whether an MLflow server answers; a store that is no server is left to the recorder."""
    if not address.startswith(("http://", "https://")):
        return "ok"
    try:
        answer = httpx.get(f"{address.rstrip('/')}/health", timeout=TRACKING_SECONDS)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return f"MLflow doesn't answer: {type(error).__name__}"
    return "ok" if answer.is_success else f"MLflow answers {answer.status_code}"
