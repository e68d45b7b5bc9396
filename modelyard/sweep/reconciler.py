"""The thin loop: observe, plan, carry out, wait for the next change.

Actions run as tasks of the event loop, at most one for each trial at a time, so that a slow
sampler or a slow stop never keeps a free slot waiting. Journal and sampler are called in
threads.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from functools import partial
from time import monotonic, thread_time
from typing import Any

from modelyard.contract import Batch, Event, LaunchKey, TrialSpec
from modelyard.executor import Job
from modelyard.journal.journal import Journal
from modelyard.journal.rows import News
from modelyard.sweep.failures import Category, category_of
from modelyard.sweep.jobs import JobBoard
from modelyard.sweep.memory import Memory
from modelyard.sweep.patience import patiently
from modelyard.sweep.plan import Plan, plan
from modelyard.sweep.work import Work
from modelyard.sweep.world import (
    Accept,
    Action,
    Ask,
    Clean,
    End,
    Finish,
    Halt,
    Launch,
    Policy,
    Record,
    Report,
    TaskAction,
    Tell,
    World,
)

LAST_SEQUENCE = 2**31 - 1
"""Of a result taken from the last message: behind all that the trial itself can have posted."""

Boundary = Callable[[TaskAction, str], None]
"""Called at each action with ``before``, ``between`` or ``after``; tests crash there."""


BRIEF_SECONDS = 0.002
RESTS = 8
LONGEST_REST_SECONDS = 0.25
"""A look that takes longer than briefly is followed by a rest of so many times its length. However
fast news come in, looking takes about a fifth of a core: half of that is reading, in a thread."""


def _timed(world: World, policy: Policy) -> tuple[Plan, float]:
    """The plan, and the seconds of CPU that it took."""
    begun = thread_time()
    return plan(world, policy), thread_time() - begun


def _rest(seconds: float) -> float:
    return min(RESTS * seconds, LONGEST_REST_SECONDS) if seconds > BRIEF_SECONDS else 0.0


class Reconciler:
    """Brings one piece of work to its end, whatever is killed on the way.

    All methods belong to one event loop; ``wake`` may be called from any thread.

    Args:
        sweep: id of the sweep.
        started_at: when its stage (re)started, by the database's clock.
        boundary: see ``Boundary``.
    """

    def __init__(
        self,
        *,
        sweep: str,
        started_at: float,
        work: Work,
        journal: Journal,
        board: JobBoard,
        boundary: Boundary = lambda _action, _when: None,
    ) -> None:
        self._sweep = sweep
        self._started_at = started_at
        self._work = work
        self._journal = journal
        self._board = board
        self._boundary = boundary
        self._memory = Memory(metric=work.metric)
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._launching: set[str] = set()
        self._fault: BaseException | None = None
        self._changed = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def wake(self) -> None:
        """Something of this sweep changed: its events, jobs or what is wanted of it."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._changed.set)

    async def run(self) -> Finish:
        """Reconcile until nothing is left to do.

        Raises:
            LeaseLost: another server goes on with it.
            ModelyardError: journal or study couldn't be used for a minute.
        """
        self._loop = asyncio.get_running_loop()
        await self._board.synced()
        unlisten = self._board.listen(self._sweep, self._changed.set)
        try:
            for row in await patiently(self._journal.launches, self._sweep):
                self._memory.keep(row)
            return await self._reconcile()
        finally:
            unlisten()
            for task in self._busy.values():
                task.cancel()
            await asyncio.gather(*self._busy.values(), return_exceptions=True)

    async def _reconcile(self) -> Finish:
        while True:
            self._changed.clear()
            # What is acted upon while we look may be seen half before and half after.
            settling = frozenset(self._busy)
            # Jobs before the journal: one that is seen to have ended has posted all it had to say.
            jobs = self._board.jobs(self._sweep)
            news = await patiently(self._journal.news, self._sweep, self._memory.cursor)
            if self._fault is not None:
                raise self._fault
            begun = thread_time()
            world = self._observed(jobs, news)
            looking = thread_time() - begun
            # In a thread: for hundreds of trials it takes longer than news should wait.
            found, planning = await asyncio.to_thread(
                _timed, world, self._work.policy(news.desired)
            )
            self._memory.due = found.again_at
            first = next(iter(found.actions), None)
            if isinstance(first, Finish) and not self._busy and not settling:
                await self._work.finish(first)
                return first
            self._start_all(found.actions, settling)
            rested_at = monotonic() + _rest(looking + planning)
            # A moment later than the limit, or the clock might still be before it.
            await self._wait(
                None if found.again_at is None else max(0.0, found.again_at - world.now) + 0.001
            )
            await asyncio.sleep(max(0.0, rested_at - monotonic()))

    async def _wait(self, limit: float | None) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), limit)

    def _observed(self, jobs: Mapping[LaunchKey, Job], news: News) -> World:
        self._memory.learn(news, jobs.values())
        return World(
            now=news.now,
            started_at=self._started_at,
            ran=self._memory.ran,
            tasks=tuple(
                self._memory.view(task, jobs, launching=task.task in self._launching)
                for task in self._work.tasks()
            ),
        )

    def _start_all(self, actions: list[Action], settling: frozenset[str]) -> None:
        """Start what can be; while slots are being filled, nothing competes with that."""
        filling = bool(self._launching) or any(isinstance(one, Launch) for one in actions)
        launches: list[Launch] = []
        for action in actions:
            if isinstance(action, Finish):
                continue
            if action.task in settling or action.task in self._busy:
                continue
            if isinstance(action, Launch):
                launches.append(action)
            elif not filling or isinstance(action, Halt):
                self._start(self._carry_out(action), action.task)
        if launches:
            tasks = [launch.task for launch in launches]
            self._launching.update(tasks)
            self._start(self._launch(launches), *tasks)

    def _start(self, work: Coroutine[Any, Any, None], *tasks: str) -> None:
        carried = asyncio.create_task(work, name=f"{self._sweep}: {', '.join(tasks)}")
        for task in tasks:
            self._busy[task] = carried
            carried.add_done_callback(partial(self._done, task))

    def _done(self, name: str, carried: asyncio.Task[None]) -> None:
        self._busy.pop(name, None)
        self._launching.discard(name)
        if not carried.cancelled() and carried.exception() is not None:
            # The first: what follows it (a trial asked for out of turn) only follows from it.
            self._fault = self._fault or carried.exception()
        self._changed.set()

    async def _carry_out(self, action: TaskAction) -> None:
        """Carry out anything but a launch."""
        self._boundary(action, "before")
        match action:
            case Ask():
                await self._work.ask(action.task)
            case Report():
                if await self._work.report(action.task, action.values):
                    self._memory.pruned.add(action.task)
            case Halt():
                await self._halt(action)
            case Accept():
                await self._accept(action)
            case End():
                await patiently(
                    self._journal.end_launch,
                    action.key,
                    action.failure,
                    started_at=action.started_at,
                )
                await self._refresh(action.key)
            case Tell():
                await self._work.tell(action)
            case Record():
                await self._work.record(action)
            case Clean():
                await self._board.clean(action.key)
        self._boundary(action, "after")

    async def _launch(self, actions: Sequence[Launch]) -> None:
        """Commit the launches of one look together, then start them together."""
        specs = []
        for action in actions:
            self._boundary(action, "before")
            key = LaunchKey(sweep=self._sweep, task=action.task, number=action.number)
            specs.append(self._work.spec(key))
        for row in await patiently(self._journal.commit_launches, specs):
            self._memory.keep(row)
        await asyncio.gather(*map(self._launch_one, actions, specs))

    async def _launch_one(self, action: Launch, spec: TrialSpec) -> None:
        self._boundary(action, "between")
        # Each on its own: an executor may let those of one call share a device.
        placement = replace(self._work.placement, avoid=self._bad_hosts(spec.key))
        await self._board.launch(spec, self._work.resources, placement)
        self._boundary(action, "after")

    def _bad_hosts(self, key: LaunchKey) -> tuple[str, ...]:
        """Where earlier launches of the task failed for no fault of its own.

        Their ends are written down before the next launch is made, so that the same key always
        gives the same hosts.
        """
        earlier = (row for row in self._memory.rows(key.task) if row.key.number < key.number)
        failures = (row.failure for row in earlier if row.failure is not None)
        hosts = {
            str(failure.evidence["host"])
            for failure in failures
            if category_of(failure) is Category.INFRASTRUCTURE and "host" in failure.evidence
        }
        return tuple(sorted(hosts))

    async def _accept(self, action: Accept) -> None:
        event = Event(sequence=LAST_SEQUENCE, at=0.0, body=action.result)
        batch = Batch(events=(event,))
        (answer,) = await patiently(self._journal.append, [(action.key, batch)])
        if isinstance(answer, Exception):
            raise answer
        await self._refresh(action.key)

    async def _halt(self, action: Halt) -> None:
        await patiently(self._journal.stop_launch, action.key, action.reason)
        await self._refresh(action.key)
        self._boundary(action, "between")
        await self._board.stop(action.key)
        self._memory.signalled.add(action.key)

    async def _refresh(self, key: LaunchKey) -> None:
        for row in await patiently(self._journal.launches, key.sweep, key.task):
            self._memory.keep(row)
