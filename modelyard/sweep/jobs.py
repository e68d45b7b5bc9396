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
from modelyard.sweep.waiting import words

LOG = logging.getLogger(__name__)

REWATCH_SECONDS = 1.0

SNAPSHOTS = 2
"""A launch that was made here, and that so many snapshots in a row don't have, is gone. The first
may have been taken before the executor knew of it, the second can't."""


class JobBoard:
    """Keeps what the executor sees, by key, and says to whom it matters when it changes.

    All methods belong to one event loop, but for ``waiting``. ``run`` must be running for the
    others to be of use.

    Args:
        executor: where launches run.
        environment: what every launch gets (the server's address).
        grace_seconds: between SIGTERM and SIGKILL.
        said: called with a sweep's id when what its launches wait for changed.
    """

    def __init__(
        self,
        executor: Executor,
        *,
        environment: Mapping[str, str],
        grace_seconds: float = 3.0,
        said: Callable[[str], None] = lambda _sweep: None,
    ) -> None:
        self._executor = executor
        self._environment = dict(environment)
        self._grace_seconds = grace_seconds
        self._said = said
        self._jobs: dict[str, dict[LaunchKey, Job]] = {}
        self._missed: dict[LaunchKey, int] = {}
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
        return dict(self._jobs.get(sweep, {}))

    def waiting(self, sweep: str) -> dict[str, str]:
        """What launches of a sweep wait for, by task, in the scheduler's own words."""
        jobs = self.jobs(sweep).values()
        return {job.key.task: said for job in jobs if (said := words(job))}

    def listen(self, sweep: str, listener: Callable[[], None]) -> Callable[[], None]:
        """Call ``listener`` at each change of a sweep's jobs. Returns how to end that."""
        listeners = self._listeners.setdefault(sweep, [])
        listeners.append(listener)
        return lambda: listeners.remove(listener)

    async def expect(
        self, spec: TrialSpec, resources: Resources, placement: Placement, at_once: int
    ) -> None:
        """Let the executor get ready for launches like this one, so many at once."""
        await self._executor.expect(self._request(spec, resources, placement), at_once)

    async def launch(self, spec: TrialSpec, resources: Resources, placement: Placement) -> None:
        """Start a launch; one that is there already is success."""
        request = self._request(spec, resources, placement)
        # The watch may be slower than this call: without an entry the launch would look lost.
        # Before the call, so that an end which the watch brings meanwhile isn't undone.
        expected = Job(key=spec.key, spec_digest=spec.digest, phase=JobPhase.WAITING)
        jobs = self._jobs.setdefault(spec.key.sweep, {})
        if jobs.setdefault(spec.key, expected) is expected:
            self._missed[spec.key] = 0
        try:
            await self._executor.launch((request,))
        except BaseException:
            if self._missed.pop(spec.key, None) is not None:
                self._drop(spec.key)
            raise

    def _request(
        self, spec: TrialSpec, resources: Resources, placement: Placement
    ) -> LaunchRequest:
        return LaunchRequest(
            spec=spec,
            resources=resources,
            placement=placement,
            environment=self._environment,
            grace_seconds=self._grace_seconds,
        )

    async def stop(self, key: LaunchKey) -> None:
        """SIGTERM now, SIGKILL after the grace."""
        await self._executor.stop(key, self._grace_seconds)

    async def clean(self, key: LaunchKey) -> None:
        """Let the executor forget an ended launch."""
        await self._executor.clean(key)
        self._missed.pop(key, None)
        self._drop(key)

    async def retire(self, sweep: str) -> None:
        """Let the executor free what a sweep's launches shared."""
        await self._executor.retire(sweep)

    def _take(self, item: Snapshot | Change) -> None:
        if isinstance(item, Snapshot):
            self._replace(item)
            return
        key = item.job.key
        self._missed.pop(key, None)
        if item.gone:
            self._drop(key)
        else:
            self._put(item.job)
        self._notify(key.sweep)

    def _replace(self, snapshot: Snapshot) -> None:
        before = [job for jobs in self._jobs.values() for job in jobs.values()]
        there = {job.key for job in snapshot.jobs}
        for job in before:
            if job.key not in there and not self._awaited(job.key):
                self._drop(job.key)
        for job in snapshot.jobs:
            self._missed.pop(job.key, None)
            self._put(job)
        self._synced.set()
        for sweep in {key.sweep for key in there} | {job.key.sweep for job in before}:
            self._notify(sweep)

    def _awaited(self, key: LaunchKey) -> bool:
        """Whether a launch that a snapshot doesn't have may have been made after it was taken."""
        if key not in self._missed:
            return False
        self._missed[key] += 1
        if self._missed[key] < SNAPSHOTS:
            return True
        del self._missed[key]
        return False

    def _put(self, job: Job) -> None:
        jobs = self._jobs.setdefault(job.key.sweep, {})
        before = jobs.get(job.key)
        jobs[job.key] = job
        if words(job) != ("" if before is None else words(before)):
            self._said(job.key.sweep)

    def _drop(self, key: LaunchKey) -> None:
        jobs = self._jobs.get(key.sweep, {})
        dropped = jobs.pop(key, None)
        if not jobs:
            self._jobs.pop(key.sweep, None)
        if dropped is not None and words(dropped):
            self._said(key.sweep)

    def _notify(self, sweep: str) -> None:
        for listener in self._listeners.get(sweep, ()):
            listener()
