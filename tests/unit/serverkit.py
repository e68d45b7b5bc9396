"""What the server's tests share: a real journal, an experiment, and a runner told what to do."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

from modelyard.api import Desired, Owner, SweepRequest
from modelyard.contract import (
    Batch,
    Body,
    Document,
    Event,
    LaunchKey,
    Metrics,
    Stage,
    TrialSpec,
)
from modelyard.errors import Interrupted
from modelyard.experiment.load import experiment_from
from modelyard.journal.database import Database
from modelyard.journal.migrate import migrate
from modelyard.journal.rows import SweepRow
from modelyard.server.changes import Changes
from modelyard.server.live import LiveJournal

DEADLINE_SECONDS = 120.0
"""Longest that anything may take; far beyond what it takes on a busy machine."""

GONE = Owner(run="r1", process=2**22 - 7, started=1.0)
"""A process that never was: pids are smaller."""


def experiment(**sections: Any) -> dict[str, Any]:
    """The document of a small experiment, with sections of one's own."""
    plain = {"name": "iris", "data": {"source": "sklearn:iris"}, "model": "mlp"}
    return experiment_from({**plain, **sections}).to_document()


def open_journal(folder: Path, changes: Changes) -> LiveJournal:
    """A migrated journal that holds its lease."""
    file = folder / "journal.db"
    if not file.exists():
        file.write_bytes(_empty_journal())
    url = f"sqlite:///{file}"
    journal = LiveJournal(Database(url), lease_seconds=600.0, changes=changes)
    journal.acquire("http://127.0.0.1:1")
    return journal


@cache
def _empty_journal() -> bytes:
    """A journal just migrated: made once, as that takes longer than most tests."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "journal.db"
        migrate(f"sqlite:///{file}")
        with closing(sqlite3.connect(file)) as database:
            database.execute("pragma wal_checkpoint(truncate)")
        return file.read_bytes()


def add_sweep(
    journal: LiveJournal,
    sweep: str = "aaaaaaaa",
    *,
    owner: Owner | None = None,
    flow_run: str | None = None,
    **sections: Any,
) -> SweepRow:
    """A running sweep."""
    document = Document(experiment=experiment(**sections), store="file:///nowhere")
    request = SweepRequest(experiment=document.experiment, owner=owner, flow_run=flow_run)
    return journal.create_sweep(sweep, request, document)


def add_launch(journal: LiveJournal, sweep: str, task: str = "0", number: int = 1) -> LaunchKey:
    """A committed launch of a trial."""
    key = LaunchKey(sweep=sweep, task=task, number=number)
    journal.commit_launches([TrialSpec(key=key, stage=Stage.TRIAL, document="0" * 64)])
    return key


def batch(*bodies: Body, first: int = 1) -> Batch:
    """A batch of events in order."""
    return Batch(
        events=tuple(Event(sequence=first + i, at=0.0, body=body) for i, body in enumerate(bodies))
    )


def step(number: int, loss: float = 0.5) -> Metrics:
    """The metrics of one step."""
    return Metrics(step=number, values={"train_loss": loss})


def move_owner_clock(folder: Path, seconds: float) -> None:
    """Let the owners' last signs of life be so much longer ago."""
    with closing(sqlite3.connect(folder / "journal.db", timeout=5)) as database, database:
        database.execute("update sweeps set owner_renewed_at = owner_renewed_at - ?", (seconds,))


async def until(condition: Callable[[], object]) -> None:
    """Wait for a condition that other tasks or threads bring about."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not condition():
            await asyncio.sleep(0.005)


class ToldRunner:
    """A runner whose stages end as the test says, or when their sweep is to stop.

    Args:
        journal: what is desired is read from it when the runner is woken.
    """

    def __init__(self, journal: LiveJournal) -> None:
        self.started: list[tuple[str, str]] = []
        self._journal = journal
        self._ends: dict[tuple[str, str], asyncio.Future[dict[str, Any]]] = {}

    async def run(self, sweep: SweepRow, stage: str) -> dict[str, Any]:
        """See ``supervisor.Runner``."""
        self.started.append((sweep.id, stage))
        future = asyncio.get_running_loop().create_future()
        self._ends[sweep.id, stage] = future
        self.wake(sweep.id)
        return dict(await future)

    def wake(self, sweep: str) -> None:
        """See ``supervisor.Runner``."""
        if self._journal.sweep(sweep).desired is Desired.RUNNING:
            return
        for (of, _), future in self._ends.items():
            if of == sweep and not future.done():
                future.set_exception(Interrupted("told to stop"))

    async def end(self, sweep: str, stage: str, outcome: dict[str, Any] | Exception) -> None:
        """Let a stage end, once it was started."""
        await until(lambda: self._waits(sweep, stage))
        if isinstance(outcome, Exception):
            self._ends[sweep, stage].set_exception(outcome)
        else:
            self._ends[sweep, stage].set_result(outcome)

    def _waits(self, sweep: str, stage: str) -> bool:
        return (sweep, stage) in self._ends and not self._ends[sweep, stage].done()
