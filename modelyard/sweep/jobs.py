"""The job board: one executor's jobs, for all controllers of the server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from modelyard.contract import LaunchKey, TrialSpec
from modelyard.executor import (
    Capacity,
    Change,
    Executor,
    Job,
    JobPhase,
    LaunchRequest,
    Placement,
    Resources,
    Snapshot,
)

LOG = logging.getLogger(__name__)

REWATCH_SECONDS = 1.0


class JobBoard:
    """Keeps what the executor sees, by key, and says to whom it matters when it changes.

    All methods belong to one event loop. ``run`` must be running for the others to be of use.

    Args:
        executor: where launches run.
        environment: what every launch gets (the server's address).
        grace_seconds: between SIGTERM and SIGKILL.
    """

    def __init__(
        self,
        executor: Executor,
        *,
        environment: Mapping[str, str],
        grace_seconds: float = 3.0,
    ) -> None:
        self._executor = executor
        self._environment = dict(environment)
        self._grace_seconds = grace_seconds
        self._jobs: dict[LaunchKey, Job] = {}
        self._listeners: dict[str, list[Callable[[], None]]] = {}
        self._synced = asyncio.Event()

    @property
    def capacity(self) -> Capacity:
        """What the launches share."""
        return self._executor.capacity

    async def run(self) -> None:
        """Follow the executor until cancelled; a watch that breaks is begun anew."""
        while True:
            try:
                async for item in self._executor.watch():
                    self._take(item)
            except Exception:
                LOG.exception("the executor's watch broke; watching again")
            await asyncio.sleep(REWATCH_SECONDS)

    async def synced(self) -> None:
        """Wait until the first snapshot is in: before, a missing job says nothing."""
        await self._synced.wait()

    def jobs(self, sweep: str) -> dict[LaunchKey, Job]:
        """A copy of what the executor sees of a sweep's launches."""
        return {key: job for key, job in self._jobs.items() if key.sweep == sweep}

    def listen(self, sweep: str, listener: Callable[[], None]) -> Callable[[], None]:
        """Call ``listener`` at each change of a sweep's jobs. Returns how to end that."""
        listeners = self._listeners.setdefault(sweep, [])
        listeners.append(listener)
        return lambda: listeners.remove(listener)

    async def launch(self, spec: TrialSpec, resources: Resources, placement: Placement) -> None:
        """Start a launch; one that is there already is success."""
        request = LaunchRequest(
            spec=spec,
            resources=resources,
            placement=placement,
            environment=self._environment,
            grace_seconds=self._grace_seconds,
        )
        await self._executor.launch((request,))
        # The watch may be slower than this call: without an entry the launch would look lost.
        waiting = Job(key=spec.key, spec_digest=spec.digest, phase=JobPhase.WAITING)
        self._jobs.setdefault(spec.key, waiting)

    async def stop(self, key: LaunchKey) -> None:
        """SIGTERM now, SIGKILL after the grace."""
        await self._executor.stop(key, self._grace_seconds)

    async def clean(self, key: LaunchKey) -> None:
        """Let the executor forget an ended launch."""
        await self._executor.clean(key)
        self._jobs.pop(key, None)

    async def retire(self, sweep: str) -> None:
        """Let the executor free what a sweep's launches shared."""
        await self._executor.retire(sweep)

    def _take(self, item: Snapshot | Change) -> None:
        if isinstance(item, Change):
            self._change(item)
            return
        touched = {key.sweep for key in self._jobs} | {job.key.sweep for job in item.jobs}
        self._jobs = {job.key: job for job in item.jobs}
        self._synced.set()
        for sweep in touched:
            self._notify(sweep)

    def _change(self, change: Change) -> None:
        if change.gone:
            self._jobs.pop(change.job.key, None)
        else:
            self._jobs[change.job.key] = change.job
        self._notify(change.job.key.sweep)

    def _notify(self, sweep: str) -> None:
        for listener in self._listeners.get(sweep, ()):
            listener()
