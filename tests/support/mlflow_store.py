"""One MLflow store for all tests of a session: a fresh one takes seconds to migrate."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from modelyard.registry.tracking import Tracking


def shared_tracking(factory: pytest.TempPathFactory) -> Tracking:
    """The session's store, opened. Tests keep apart by the names of models and sweeps."""
    return _opened(factory.getbasetemp() / "shared-mlflow")


@cache
def _opened(home: Path) -> Tracking:
    tracking = Tracking(f"sqlite:///{home}/mlflow.db", str(home / "mlflow-artifacts"))
    tracking.open()
    return tracking
