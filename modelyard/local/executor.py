"""The executor of this machine: launches are children of a fork server.

How many run at once is the controller's business. Everything ends with our server: a killed
server, fork server or launch leaves no process behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import signal
from collections.abc import AsyncIterator

from modelyard.contract import LaunchKey
from modelyard.executor import (
    AlreadyLaunched,
    Capacity,
    Change,
    Evidence,
    Job,
    JobPhase,
    LaunchRequest,
    Snapshot,
)
from modelyard.local import gpus
from modelyard.local.launched import Files, Launched, accept, tail
from modelyard.local.link import Link
from modelyard.local.protocol import Began, Close, End, Ended, Expect, Ready, Unspared, Word
from modelyard.settings import Paths

LOG = logging.getLogger(__name__)

CLOSE_GRACE_SECONDS = 1.0
CLOSE_PATIENCE_SECONDS = 3.0
"""How much later than that grace the fork server is killed with all its children."""
BAD_STARTS = 3
"""Fork servers in a row that die before they are ready; then launches fail."""


class LocalExecutor:
    """An ``Executor`` over processes of this machine. Belongs to one event loop.

    Args:
        paths: where scratch folders and logs lie.
        devices: GPUs that launches may use, as ``CUDA_VISIBLE_DEVICES`` names them; found when
            left out.
        patience_seconds: how much later than its grace a stopped launch may end before the
            fork server counts as hung; while it imports it is busy for some seconds.
    """

    def __init__(
        self,
        *,
        paths: Paths,
        devices: tuple[str, ...] | None = None,
        patience_seconds: float = 30.0,
    ) -> None:
        self._paths = paths
        self._devices = gpus.installed() if devices is None else devices
        self._patience = patience_seconds
        self._launched: dict[str, Launched] = {}
        self._expected: dict[str, Expect] = {}
        self._watchers: set[asyncio.Queue[Change | None]] = set()
        self._keeper: asyncio.Task[None] | None = None
        self._link: Link | None = None
        self._log_start = 0
        self._ready = False
        self._closing = asyncio.Event()

    @property
    def capacity(self) -> Capacity:
        """See ``Executor.capacity``."""
        return Capacity(cores=len(os.sched_getaffinity(0)), devices=len(self._devices))

    def start(self) -> None:
        """Start the fork server ahead of the first launch; repeated calls do nothing."""
        if self._keeper is None and not self._closing.is_set():
            self._keeper = asyncio.create_task(self._keep(), name="fork server")

    async def expect(self, request: LaunchRequest, at_once: int) -> None:
        """See ``Executor.expect``. Spares are made, and rehearse what a launch begins with."""
        order = accept(request, self._paths, self._devices, ()).order
        sweep = request.spec.key.sweep
        self._tell_expected(Expect(sweep=sweep, launches=at_once, environment=order.environment))

    async def launch(self, requests: tuple[LaunchRequest, ...]) -> None:
        """See ``Executor.launch``. A launch waits only for the fork server's own start."""
        self.start()
        for request in requests:
            known = self._launched.get(str(request.spec.key))
            if known is None:
                self._accept(request)
            elif known.job.spec_digest != request.spec.digest:
                raise AlreadyLaunched(f"{request.spec.key} is launched with another spec")

    async def stop(self, key: LaunchKey, grace_seconds: float) -> None:
        """See ``Executor.stop``."""
        launched = self._launched.get(str(key))
        if launched is None or launched.ended.is_set():
            return
        if not launched.sent:
            self._fail(launched, "Stopped", "it was stopped before it started")
        elif self._link is not None:
            self._link.send(End(name=str(key), grace_seconds=grace_seconds))
            asyncio.get_running_loop().call_later(
                grace_seconds + self._patience, self._kill_hung, self._link, launched
            )

    async def clean(self, key: LaunchKey) -> None:
        """See ``Executor.clean``. Its scratch folder goes, its log stays."""
        launched = self._launched.get(str(key))
        if launched is not None:
            await self.stop(key, 0.0)
            await launched.ended.wait()
            self._launched.pop(str(key), None)
            self._tell(launched.job, gone=True)
        scratch = Files.of(key, self._paths).scratch
        await asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True)

    async def retire(self, sweep: str) -> None:
        """See ``Executor.retire``: launches of this machine share the spares made for them."""
        if sweep in self._expected:
            self._tell_expected(Expect(sweep=sweep, launches=0, environment={}))

    async def watch(self) -> AsyncIterator[Snapshot | Change]:
        """See ``Executor.watch``. Ends when the executor is closed."""
        self.start()
        queue: asyncio.Queue[Change | None] = asyncio.Queue()
        self._watchers.add(queue)
        try:
            yield Snapshot(jobs=tuple(launched.job for launched in self._launched.values()))
            while not self._closing.is_set() and (change := await queue.get()) is not None:
                yield change
        finally:
            self._watchers.discard(queue)

    async def close(self) -> None:
        """See ``Executor.close``. Watches end."""
        self._closing.set()
        if self._keeper is not None:
            if self._link is not None and any(one.running for one in self._launched.values()):
                self._link.send(Close(grace_seconds=CLOSE_GRACE_SECONDS))
                # wait(), not wait_for(): the keeper goes on to its end once the link is cut.
                await asyncio.wait(
                    {self._keeper}, timeout=CLOSE_GRACE_SECONDS + CLOSE_PATIENCE_SECONDS
                )
            if self._link is not None:
                self._link.kill()
            await self._keeper
        for queue in self._watchers:
            queue.put_nowait(None)

    def _tell_expected(self, order: Expect) -> None:
        self._expected.pop(order.sweep, None)
        if order.launches:
            self._expected[order.sweep] = order
        if self._ready and self._link is not None:
            self._link.send(order)

    def _accept(self, request: LaunchRequest) -> None:
        held = (one.devices for one in self._launched.values() if not one.ended.is_set())
        devices = gpus.assign(request.resources.gpus, self._devices, held)
        launched = accept(request, self._paths, self._devices, devices)
        self._launched[str(request.spec.key)] = launched
        self._tell(launched.job)
        # Without a fork server, or while a dead one is cleared away, the next one is told of it.
        if self._ready and self._link is not None:
            self._send(launched)

    def _send(self, launched: Launched) -> None:
        assert self._link is not None
        try:
            launched.files.make_folders()
        except OSError as error:
            self._fail(launched, "NoFolder", f"its folder can't be made: {error}")
            return
        launched.sent = True
        self._link.send(launched.order)

    async def _keep(self) -> None:
        """Keep a fork server running until the executor closes."""
        bad_starts = 0
        while not self._closing.is_set():
            await self._serve()
            bad_starts = 0 if self._ready else bad_starts + 1
            self._ready = False
            self._lost()
            if bad_starts >= BAD_STARTS:
                self._give_up()
                bad_starts = 0
            elif bad_starts:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._closing.wait(), 2.0**bad_starts)

    async def _serve(self) -> None:
        """Start a fork server and listen to it until it is gone."""
        log = self._paths.log("forkserver")
        self._log_start = log.stat().st_size if log.exists() else 0
        self._link = link = await Link.open(log)
        if self._closing.is_set():  # close() came before there was a link to cut
            link.kill()
        try:
            async for word in link.words():
                self._hear(word)
        finally:
            self._link = None
            await link.close()

    def _hear(self, word: Word) -> None:
        match word:
            case Ready():
                self._ready = True
                assert self._link is not None
                for order in self._expected.values():
                    self._link.send(order)
                for launched in self._launched.values():
                    if not launched.sent and not launched.ended.is_set():
                        self._send(launched)
            case Began(name=name, process=process):
                launched = self._launched[name]
                launched.process = process
                self._tell(launched.become(JobPhase.RUNNING, Evidence()))
            case Ended(name=name):
                phase = JobPhase.SUCCEEDED if word.exit_code == 0 else JobPhase.FAILED
                evidence = Evidence(
                    exit_code=word.exit_code,
                    signal=word.signal,
                    reason=word.reason,
                    message=word.message,
                    peak_memory_bytes=word.peak_memory_bytes,
                )
                self._tell(self._launched[name].become(phase, evidence))
            case Unspared(sweep=sweep, how=how):
                LOG.warning(
                    "processes kept ready for launches%s end unused (the last by %s): no more are "
                    "made, and launches start a little later; see %s",
                    f" of sweep {sweep}" if sweep else "",
                    how,
                    self._paths.log("forkserver"),
                )

    def _kill_hung(self, link: Link, launched: Launched) -> None:
        """A fork server that doesn't end a launch in time is hung itself."""
        if not launched.ended.is_set() and link is self._link:
            link.kill()

    def _lost(self) -> None:
        """The fork server is gone: so are its children, and what they left is ended here."""
        for launched in self._launched.values():
            if not launched.running:
                continue
            if launched.process is not None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(launched.process, signal.SIGKILL)
            self._fail(launched, "ForkServerLost", "the process that held this launch was killed")

    def _give_up(self) -> None:
        log = self._paths.log("forkserver")
        said = tail(log, after=self._log_start)  # it holds what earlier ones died of, too
        for launched in self._launched.values():
            if not launched.ended.is_set():
                message = f"the fork server doesn't start; see {log}: {said}"
                self._fail(launched, "ForkServerFailed", message)

    def _fail(self, launched: Launched, reason: str, message: str) -> None:
        self._tell(launched.become(JobPhase.FAILED, Evidence(reason=reason, message=message)))

    def _tell(self, job: Job, *, gone: bool = False) -> None:
        for queue in self._watchers:
            queue.put_nowait(Change(job=job, gone=gone))
