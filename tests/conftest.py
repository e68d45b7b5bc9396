"""What holds for every test: no skip where nothing may be missing, and a home of its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Examples take as long as they take, and are the same each time, so that what a run finds comes
# from the change that it judges. `pytest --hypothesis-profile anew` draws others.
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("anew", PATIENT)
settings.register_profile("same", PATIENT, derandomize=True, print_blob=True)
settings.load_profile("same")


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test may find or leave anything in the checkout's own ``.modelyard``, or go to a cluster
    that happens to be set."""
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path / ".modelyard"))
    monkeypatch.delenv("MODELYARD_SERVER", raising=False)
    monkeypatch.delenv("MODELYARD_API_KEY", raising=False)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What waits for real servers comes first, so that the rest is done meanwhile."""
    items.sort(key=lambda item: item.get_closest_marker("integration") is None)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Under ``MODELYARD_TEST_NO_SKIPS`` a skipped test fails the run: its server was promised."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("MODELYARD_TEST_NO_SKIPS") and reporter and reporter.stats.get("skipped"):
        reporter.write_line("tests were skipped although nothing may be missing here", red=True)
        session.exitstatus = max(int(exitstatus), 1)
