"""A home with the ``modelyard`` command, for tests that type it as people do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil

from modelyard.client import Client
from modelyard.errors import ModelyardError
from modelyard.local import processes, services
from modelyard.settings import Paths, Settings

DEADLINE_SECONDS = 600.0
"""Longest that anything here may take; far beyond what it takes on a busy machine."""


@contextmanager
def whole_home(folder: Path) -> Iterator[Paths]:
    """A home whose processes are all ended at the end, which is asserted."""
    paths = Paths(folder / "home")
    yield paths
    done = command(paths, "down")
    assert done.returncode == 0, done.stderr
    assert living(paths) == []


def environment(paths: Paths) -> dict[str, str]:
    return {**os.environ, "MODELYARD_HOME": str(paths.home), "COLUMNS": "200"}


def command(
    paths: Paths, *arguments: str, variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """A command line run to its end, with further variables in its environment."""
    return subprocess.run(
        [sys.executable, "-m", "modelyard.cli", *arguments],
        env={**environment(paths), **(variables or {})},
        cwd=paths.home.parent,
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
    )


def experiment(paths: Paths, text: str, **values: object) -> Path:
    file = paths.home.parent / f"{values['name']}.yaml"
    file.write_text(text.format(**values))
    return file


def document(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def eventually(
    condition: Callable[[], object], what: str, seconds: float = DEADLINE_SECONDS
) -> Any:
    """What the condition returns once it is true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            found = condition()
        except (OSError, ValueError, httpx.HTTPError, psutil.Error, ModelyardError):
            found = None  # not yet
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds:g} s: {what}")


def living(paths: Paths) -> list[psutil.Process]:
    """The processes of a home's services."""
    return processes.marked(services.MARK, f"{paths.home}|")


def client(paths: Paths) -> Client:
    return Client.connect(Settings(home=paths.home))


def ended_trials(paths: Paths, name: str) -> int:
    """How many trials of a sweep have ended; 0 before there is one."""
    if services.running("server", paths) is None:
        return 0
    with client(paths) as server:
        return sum(view.counts.ended for view in server.sweeps() if view.name == name)
