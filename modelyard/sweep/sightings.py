"""Since when jobs are seen as they are: what an executor doesn't tell, and limits count from."""

from __future__ import annotations

from collections.abc import Iterable

from modelyard.contract import LaunchKey
from modelyard.executor import Job, JobPhase

_RUN = frozenset({JobPhase.RUNNING, JobPhase.UNKNOWN, JobPhase.SUCCEEDED})


class Sightings:
    """The first sight of each job's state, by the database's clock.

    A controller that starts anew sees all of them for the first time: what waits is then given
    its whole patience again.

    Attributes:
        ran: whether any job was seen to run.
    """

    def __init__(self) -> None:
        self.ran = False
        self._waiting: dict[LaunchKey, tuple[str, float]] = {}
        self._running: dict[LaunchKey, float] = {}

    def see(self, jobs: Iterable[Job], now: float) -> None:
        """Take in what there is."""
        for job in jobs:
            if job.phase is JobPhase.WAITING:
                known = self._waiting.get(job.key)
                if known is None or known[0] != job.evidence.reason:
                    self._waiting[job.key] = (job.evidence.reason, now)
            elif job.phase in _RUN:
                self.ran = True
                self._running.setdefault(job.key, now)

    def waiting_since(self, key: LaunchKey) -> float | None:
        """Since when a launch was seen to wait for what it waits for."""
        known = self._waiting.get(key)
        return None if known is None else known[1]

    def running_since(self, key: LaunchKey) -> float | None:
        """Since when a launch was seen to run."""
        return self._running.get(key)
