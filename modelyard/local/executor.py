"""The executor of this machine: launches are children of a fork server.

How many run at once is the controller's business. Everything ends with our server: a killed
server, fork server or launch leaves no process behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from modelyard.contract import LaunchKey, Variable
from modelyard.executor import (
    AlreadyLaunched,
    Change,
    Evidence,
    Job,
    JobPhase,
    LaunchRequest,
    Snapshot,
)
from modelyard.local import gpus
from modelyard.local.link import ONE_THREAD, Link
from modelyard.local.protocol import Began, Close, End, Ended, Launch, Ready
from modelyard.settings import Paths
from modelyard.trial.termination import LIMIT_BYTES

CLOSE_GRACE_SECONDS = 1.0
OVERDUE_SECONDS = 3.0
"""How much later than the grace an end may come before the fork server counts as hung."""
BAD_STARTS = 3
"""Fork servers in a row that die before they are ready; then launches fail."""


@dataclass(kw_only=True)
class _Launched:
    """One launch and what became of it."""

    request: LaunchRequest
    job: Job
    devices: tuple[str, ...] = ()
    sent: bool = False
    process: int | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class LocalExecutor:
    """An ``Executor`` over processes of this machine. Belongs to one event loop.

    Args:
        paths: where scratch folders and logs lie.
        devices: GPUs that launches may use, as ``CUDA_VISIBLE_DEVICES`` names them; found when
            left out.
    """

    def __init__(self, *, paths: Paths, devices: tuple[str, ...] | None = None) -> None:
        self._paths = paths
        self._devices = gpus.installed() if devices is None else devices
        self._launched: dict[str, _Launched] = {}
        self._watchers: set[asyncio.Queue[Change | None]] = set()
        self._keeper: asyncio.Task[None] | None = None
        self._link: Link | None = None
        self._ready = False
        self._closing = False
        self._timers: set[asyncio.TimerHandle] = set()

    def start(self) -> None:
        """Start the fork server ahead of the first launch; repeated calls do nothing."""
        if self._keeper is None and not self._closing:
            self._keeper = asyncio.create_task(self._keep(), name="fork server")

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
            self._expect_end(launched, grace_seconds + OVERDUE_SECONDS)

    async def clean(self, key: LaunchKey) -> None:
        """See ``Executor.clean``. Its scratch folder goes, its log stays."""
        launched = self._launched.get(str(key))
        if launched is not None:
            await self.stop(key, 0.0)
            await launched.ended.wait()
            self._launched.pop(str(key), None)
            self._tell(Change(job=launched.job, gone=True))
        await asyncio.to_thread(shutil.rmtree, self._scratch(key), ignore_errors=True)

    async def watch(self) -> AsyncIterator[Snapshot | Change]:
        """See ``Executor.watch``. Ends when the executor is closed."""
        self.start()
        queue: asyncio.Queue[Change | None] = asyncio.Queue()
        self._watchers.add(queue)
        try:
            yield Snapshot(jobs=tuple(launched.job for launched in self._launched.values()))
            while (change := await queue.get()) is not None:
                yield change
        finally:
            self._watchers.discard(queue)

    async def close(self) -> None:
        """See ``Executor.close``. Watches end."""
        self._closing = True
        if self._link is not None and self._ready:
            self._link.send(Close(grace_seconds=CLOSE_GRACE_SECONDS))
        elif self._link is not None:
            self._link.kill()
        if self._keeper is not None:
            # wait(), not wait_for(): the keeper goes on to its end once the link is cut.
            await asyncio.wait({self._keeper}, timeout=CLOSE_GRACE_SECONDS + OVERDUE_SECONDS)
            if self._link is not None:
                self._link.kill()
            await self._keeper
        for timer in self._timers:
            timer.cancel()
        for queue in self._watchers:
            queue.put_nowait(None)

    def _accept(self, request: LaunchRequest) -> None:
        key = request.spec.key
        held = (other.devices for other in self._launched.values() if not other.ended.is_set())
        launched = _Launched(
            request=request,
            job=Job(
                key=key,
                spec_digest=request.spec.digest,
                phase=JobPhase.WAITING,
                evidence=Evidence(reason="ForkServerStarting", host=socket.gethostname()),
            ),
            devices=gpus.assign(request.resources.gpus, self._devices, held),
        )
        self._launched[str(key)] = launched
        self._tell(Change(job=launched.job))
        if self._ready:
            self._send(launched)

    def _send(self, launched: _Launched) -> None:
        assert self._link is not None
        request = launched.request
        key = request.spec.key
        scratch, log = self._scratch(key), self._log(key)
        scratch.mkdir(parents=True, exist_ok=True)
        log.parent.mkdir(parents=True, exist_ok=True)
        threads = str(request.resources.threads)
        environment = {
            **dict.fromkeys(ONE_THREAD, threads),
            **({gpus.VISIBLE: ",".join(launched.devices)} if self._devices else {}),
            **request.environment,
            Variable.SPEC.value: request.spec.to_json(),
            Variable.SCRATCH.value: str(scratch),
            Variable.TERMINATION.value: str(scratch / "termination"),
        }
        launched.sent = True
        self._link.send(
            Launch(
                name=str(key),
                environment=environment,
                scratch=str(scratch),
                log=str(log),
                memory_bytes=request.resources.memory_bytes,
            )
        )

    async def _keep(self) -> None:
        """Keep a fork server running until the executor closes."""
        bad_starts = 0
        while not self._closing:
            self._link = link = await Link.open(self._paths.log("forkserver"))
            try:
                async for word in link.words():
                    self._hear(word)
            finally:
                bad_starts = 0 if self._ready else bad_starts + 1
                self._ready = False
                self._lost()
                await link.close()
                self._link = None
            if bad_starts >= BAD_STARTS:
                self._give_up()
                bad_starts = 0
            elif bad_starts:
                await asyncio.sleep(2.0**bad_starts)

    def _hear(self, word: Ready | Began | Ended) -> None:
        match word:
            case Ready():
                self._ready = True
                for launched in self._launched.values():
                    if not launched.sent and not launched.ended.is_set():
                        self._send(launched)
            case Began(name=name, process=process):
                launched = self._launched[name]
                launched.process = process
                evidence = Evidence(host=launched.job.evidence.host)
                self._become(launched, JobPhase.RUNNING, evidence)
            case Ended(name=name):
                self._end(self._launched[name], word)

    def _end(self, launched: _Launched, word: Ended) -> None:
        phase = JobPhase.SUCCEEDED if word.exit_code == 0 else JobPhase.FAILED
        evidence = Evidence(
            exit_code=word.exit_code,
            signal=word.signal,
            reason=word.reason,
            message=word.message,
            peak_memory_bytes=word.peak_memory_bytes,
        )
        self._become(launched, phase, self._with_files(launched, evidence))

    def _lost(self) -> None:
        """The fork server is gone: so are its children, and what they left is ended here."""
        for launched in self._launched.values():
            if not launched.sent or launched.ended.is_set():
                continue
            if launched.process is not None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(launched.process, signal.SIGKILL)
            self._fail(launched, "ForkServerLost", "the process that held this launch was killed")

    def _give_up(self) -> None:
        log = self._paths.log("forkserver")
        for launched in self._launched.values():
            if not launched.ended.is_set():
                message = f"the fork server doesn't start; see {log}: {_tail(log)}"
                self._fail(launched, "ForkServerFailed", message)

    def _fail(self, launched: _Launched, reason: str, message: str) -> None:
        evidence = Evidence(reason=reason, message=message)
        self._become(launched, JobPhase.FAILED, self._with_files(launched, evidence))

    def _with_files(self, launched: _Launched, evidence: Evidence) -> Evidence:
        key = launched.request.spec.key
        return replace(
            evidence,
            termination=_tail(self._scratch(key) / "termination"),
            log_tail=_tail(self._log(key)),
            host=launched.job.evidence.host,
        )

    def _become(self, launched: _Launched, phase: JobPhase, evidence: Evidence) -> None:
        launched.job = replace(launched.job, phase=phase, evidence=evidence)
        if phase in (JobPhase.SUCCEEDED, JobPhase.FAILED):
            launched.ended.set()
        self._tell(Change(job=launched.job))

    def _expect_end(self, launched: _Launched, seconds: float) -> None:
        """Kill the fork server if it doesn't end a launch in time: it is hung itself."""
        link = self._link
        assert link is not None

        def look() -> None:
            self._timers.discard(timer)
            if not launched.ended.is_set() and link is self._link:
                link.kill()

        timer = asyncio.get_running_loop().call_later(seconds, look)
        self._timers.add(timer)

    def _tell(self, change: Change) -> None:
        for queue in self._watchers:
            queue.put_nowait(change)

    def _scratch(self, key: LaunchKey) -> Path:
        return self._paths.scratch / str(key)

    def _log(self, key: LaunchKey) -> Path:
        return self._paths.log(f"trials/{key}")


def _tail(path: Path) -> str:
    """The last 4 KiB of a file as text; empty when there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - LIMIT_BYTES))
            return file.read().decode(errors="replace")
    except OSError:
        return ""
