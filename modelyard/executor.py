"""The Executor protocol: how launches become processes or Jobs, and how we learn of their end.

An executor knows nothing of trials, budgets or results: it starts a program with a spec, says
what it sees of it, and ends it. One contract suite (``tests/contract/executor_suite.py``) runs
over every implementation.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from modelyard.contract import LaunchKey, TrialSpec


class JobPhase(StrEnum):
    """What an executor sees of one launch."""

    WAITING = "waiting"  # accepted, not yet running; evidence.reason says for what
    RUNNING = "running"
    SUCCEEDED = "succeeded"  # ended with exit code 0
    FAILED = "failed"  # ended in any other way; evidence says how
    UNKNOWN = "unknown"  # a state that the table doesn't hold; treated as running


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What is known of a launch's state, kept on the trial as it was seen.

    Args:
        exit_code: of the process, None where it has none (killed by a signal, never started).
        signal: number of the signal that ended it.
        reason: the backend's own word: ``OOMKilled``, ``Unschedulable``, ``MemoryLimit`` …
        message: the backend's own sentence.
        termination: what the program left in its termination file, at most 4 KiB.
        log_tail: its last output, at most 4 KiB.
        peak_memory_bytes: largest size seen.
        host: node or machine.
    """

    exit_code: int | None = None
    signal: int | None = None
    reason: str = ""
    message: str = ""
    termination: str = ""
    log_tail: str = ""
    peak_memory_bytes: int | None = None
    host: str = ""


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What one launch needs.

    Args:
        cpus: CPU cores.
        threads: threads of the program.
        memory_bytes: limit above which the launch is ended; None sets none.
        gpus: whole GPUs.
    """

    cpus: float = 1.0
    threads: int = 1
    memory_bytes: int | None = None
    gpus: int = 0


@dataclass(frozen=True, kw_only=True)
class LaunchRequest:
    """One launch to start: what runs, how much it needs, and its environment.

    Args:
        spec: sent in the environment variable ``MODELYARD_TRIAL``.
        resources: enforced by the executor.
        environment: further variables (server address); secrets go by reference where the
            backend has such.
        grace_seconds: between SIGTERM and SIGKILL when it is stopped.
    """

    spec: TrialSpec
    resources: Resources
    environment: dict[str, str]
    grace_seconds: float = 5.0


@dataclass(frozen=True, kw_only=True)
class Job:
    """One launch as the executor sees it now. ``spec_digest`` tells a stranger of the same name."""

    key: LaunchKey
    spec_digest: str
    phase: JobPhase
    evidence: Evidence = Evidence()


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """Everything there is: what isn't in it doesn't exist. First item of each watch."""

    jobs: tuple[Job, ...]


@dataclass(frozen=True, kw_only=True)
class Change:
    """One launch changed; ``gone`` when it was cleaned or deleted by somebody."""

    job: Job
    gone: bool = False


class AlreadyLaunched(Exception):
    """A launch of this key exists with another spec digest. Never retried: it is a bug."""


class Executor(Protocol):
    """Starts, watches and ends launches. Methods are coroutines of one event loop."""

    async def launch(self, requests: tuple[LaunchRequest, ...]) -> None:
        """Start launches; several in one call may share a device (fused trials).

        Repeating a call with the same specs is success. Returns once they are accepted, not
        once they run.

        Raises:
            AlreadyLaunched: the key exists with another spec.
        """

    async def stop(self, key: LaunchKey, grace_seconds: float) -> None:
        """SIGTERM now, SIGKILL after the grace. Unknown or ended keys are no error."""

    async def clean(self, key: LaunchKey) -> None:
        """Forget an ended launch; ends it first if it runs. Unknown keys are no error."""

    def watch(self) -> AsyncIterator[Snapshot | Change]:
        """A Snapshot, then every Change, for ever; a Snapshot again after a gap."""

    async def close(self) -> None:
        """End every launch (SIGTERM, then SIGKILL after a second) and free what it holds."""
