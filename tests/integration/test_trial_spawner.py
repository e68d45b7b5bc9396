"""Standby processes that are no forks, as on macOS: another start, the same contract."""

from __future__ import annotations

import os
import select
from pathlib import Path

import pytest

from modelyard.contract import Exit
from modelyard.local.nursery import Nursery
from modelyard.local.protocol import Ended, Launch
from modelyard.local.spawner import ExecSpawner, ForkSpawner, spawner_for

pytestmark = [pytest.mark.integration, pytest.mark.slow]

DEADLINE = 600.0


def test_linux_forks_and_others_spawn() -> None:
    """The platform decides."""
    assert isinstance(spawner_for("linux", 0), ForkSpawner)
    assert isinstance(spawner_for("darwin", 0), ExecSpawner)


def test_a_spawned_standby_becomes_its_launch(tmp_path: Path) -> None:
    """It runs the program with its orders' environment, and its end is told."""
    life, held = os.pipe()
    nursery, log = Nursery(ExecSpawner(life), spares=0), tmp_path / "log"
    process = nursery.launch(
        Launch(name="x", environment={"MODELYARD_TRIAL": "{"}, scratch=str(tmp_path), log=str(log))
    )
    fd = os.pidfd_open(process)
    assert select.select([fd], [], [], DEADLINE)[0]
    ended = list(nursery.reap())
    for line in (fd, life, held):
        os.close(line)

    assert ended == [Ended(name="x", exit_code=Exit.CONFIGURATION)]
    assert "MODELYARD_TRIAL" in log.read_text()
