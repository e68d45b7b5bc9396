"""The Executor protocol: how launches become processes or Jobs, and how we learn of their end.

An executor knows nothing of trials, budgets or results: it starts a program with a spec, says
what it sees of it, and ends it. One contract suite (``tests/contract/executor_suite.py``) runs
over every implementation.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from modelyard.contract import LaunchKey, TrialSpec

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Say to numerical libraries, as they are loaded, how many threads a launch has. Every executor
sets them alike, because the number of threads decides a trial's numbers."""


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
        gpus: whole GPUs, of each node.
        nodes: each with all of the above.
    """

    cpus: float = 1.0
    threads: int = 1
    memory_bytes: int | None = None
    gpus: int = 0
    nodes: int = 1


@dataclass(frozen=True, kw_only=True)
class SecretKey:
    """The value of a variable that isn't written down: one key of a Secret, by reference."""

    name: str
    key: str


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where a launch may run, and as whom: what the file says for a cluster. Here it is void.

    Args:
        project: of the experiment; decides the namespace.
        node_selector: labels that the node must have.
        tolerations: taints that are borne, as Kubernetes writes them.
        queue: name of Kueue's LocalQueue.
        priority_class: name of a priority class.
        service_account: of the pod; it never gets a token of it.
        image: of the trial; None takes the installation's.
        image_pull_secrets: names of secrets.
        env: further variables of the user's, each a value or where a Secret holds it.
        volumes: Kubernetes volumes, each with a key ``mount_path`` (and ``read_only``).
        labels: of Job and pod; may hold ``{sweep}``, ``{trial}``, ``{launch}``.
        annotations: the same.
        avoid: names of nodes on which this task failed for no fault of its own.
        deadline_seconds: longest life of the pod, None for none.
    """

    project: str = "default"
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Mapping[str, Any], ...] = ()
    queue: str | None = None
    priority_class: str | None = None
    service_account: str | None = None
    image: str | None = None
    image_pull_secrets: tuple[str, ...] = ()
    env: Mapping[str, str | SecretKey] = field(default_factory=dict)
    volumes: tuple[Mapping[str, Any], ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    avoid: tuple[str, ...] = ()
    deadline_seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class LaunchRequest:
    """One launch to start: what runs, how much it needs, where, and its environment.

    Args:
        spec: sent in the environment variable ``MODELYARD_TRIAL``.
        resources: enforced by the executor.
        placement: where it may run.
        environment: further variables (server address); secrets go by reference where the
            backend has such.
        grace_seconds: between SIGTERM and SIGKILL when it is stopped.
    """

    spec: TrialSpec
    resources: Resources
    environment: dict[str, str]
    placement: Placement = Placement()
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


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """What ``parallel: auto`` is computed from.

    Args:
        cores: CPU cores that launches share.
        devices: GPUs that launches share.
        slots: launches at once where neither can be known, as on a cluster; None where they can.
    """

    cores: int
    devices: int = 0
    slots: int | None = None


class TokenIssuer(Protocol):
    """Makes the token with which the launches of one sweep speak to the intake."""

    async def issue(self, sweep: str) -> str:
        """A new token of a sweep, in plain; the one before is void from now on."""


class AlreadyLaunched(Exception):
    """A launch of this key exists with another spec digest. Never retried: it is a bug."""


class Executor(Protocol):
    """Starts, watches and ends launches. Methods are coroutines of one event loop."""

    @property
    def capacity(self) -> Capacity:
        """What there is to share; known before the first launch."""

    async def launch(self, requests: tuple[LaunchRequest, ...]) -> None:
        """Start launches; several in one call may share a device (fused trials).

        Repeating a call with the same specs is success. Returns once they are accepted, not
        once they run.

        Raises:
            AlreadyLaunched: the key exists with another spec.
        """

    async def expect(self, request: LaunchRequest, at_once: int) -> None:
        """Launches like this one are about to come, so many at once: a chance to get ready.

        Args:
            request: its key's sweep and its document are those of all that come; holds until the
                sweep is retired, or something else is expected of it.
        """

    async def stop(self, key: LaunchKey, grace_seconds: float) -> None:
        """SIGTERM now, SIGKILL after the grace. Unknown or ended keys are no error."""

    async def clean(self, key: LaunchKey) -> None:
        """Forget an ended launch; ends it first if it runs. Unknown keys are no error."""

    async def retire(self, sweep: str) -> None:
        """Free what the launches of a sweep shared (its token); the sweep has ended."""

    def watch(self) -> AsyncIterator[Snapshot | Change]:
        """A Snapshot, then every Change, for ever; a Snapshot again after a gap."""

    async def close(self) -> None:
        """Free what it holds. Launches that are processes of this machine are ended (SIGTERM,
        then SIGKILL after a second); those of a cluster go on and are adopted by the next server.
        """
