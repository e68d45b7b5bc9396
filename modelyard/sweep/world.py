"""What ``plan`` looks at and what it may do: frozen values, without a clock or a connection."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from modelyard.api import Desired, FailureView, TrialState
from modelyard.contract import LaunchKey, Stop, TrialResult
from modelyard.executor import Job, JobPhase
from modelyard.journal.rows import LaunchRow

COUNTED = frozenset(
    {TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAILED, TrialState.INFEASIBLE}
)
"""Ends that use up one of the trials asked for."""

IMAGE_PULL = "ImagePull"
CONFIG = "Config"
HELD = frozenset({"Unschedulable", "QuotaExceeded", "Queued", "FailedCreate", IMAGE_PULL, CONFIG})
"""An executor's words for what a launch waits for, where somebody else has to do something."""


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What is wanted. Pause, edit, cancel and limits only change this.

    Args:
        trials: trials that are to reach an end.
        parallel: launches at once.
        ahead: trials asked for beyond those that run, so that a free slot is filled at once.
        metrics: names that a result must hold as finite numbers, one for each objective.
        overlap: a slot is free once the result is accepted, while the process still ends; off
            where the next launch needs what the process still holds (a GPU).
        ends_at: when the sweep's wall time is used up, by the database's clock.
        trial_seconds: wall time of one trial over all its launches.
        training_silence_seconds: longest silence while steps are expected.
        loading_silence_seconds: longest silence before, while loading or compiling.
        exit_seconds: longest life of a process after its result was accepted.
        waiting_seconds: longest wait of a launch for its place; None waits for ever.
        image_pull_seconds: how long an image may fail to be pulled, or a Secret be missing.
        backoff_seconds: wait after the first infrastructure failure; doubles with each.
        launches: tries without a newer checkpoint before a trial is given up.
    """

    trials: int
    parallel: int
    ahead: int = 0
    metrics: tuple[str, ...] = ()
    overlap: bool = True
    desired: Desired = Desired.RUNNING
    ends_at: float | None = None
    trial_seconds: float | None = None
    training_silence_seconds: float = 120.0
    loading_silence_seconds: float = 900.0
    exit_seconds: float = 30.0
    waiting_seconds: float | None = None
    image_pull_seconds: float = 60.0
    backoff_seconds: float = 1.0
    launches: int = 3


@dataclass(frozen=True, kw_only=True)
class LaunchView:
    """One launch as journal and executor have it.

    Args:
        job: None when the executor knows nothing of it.
        signalled: this controller has already asked the executor to stop it.
        waiting_since: since when it was seen to wait for what it waits for now.
        running_since: since when this controller has seen it run.
        heard_since: since when it would have been heard: before, this controller was away, or the
            journal took no posts.
    """

    row: LaunchRow
    job: Job | None = None
    signalled: bool = False
    waiting_since: float | None = None
    running_since: float | None = None
    heard_since: float = 0.0

    @property
    def waiting(self) -> bool:
        """It has no process yet: it waits for a place, its image, a quota."""
        return self.job is not None and self.job.phase is JobPhase.WAITING

    @property
    def held(self) -> bool:
        """It waits for what somebody else has to do; a container that starts only takes time."""
        return self.waiting and self.job is not None and self.job.evidence.reason in HELD

    @property
    def started_at(self) -> float | None:
        """Since when it has run, as it said itself, or else as it was seen."""
        return self.running_since if self.row.started_at is None else self.row.started_at

    @property
    def gone(self) -> bool:
        """It ran, and nothing runs any more. A state that isn't known counts as running."""
        if self.job is None:
            return self.started_at is not None
        return self.job.phase in (JobPhase.SUCCEEDED, JobPhase.FAILED)

    @property
    def unstarted(self) -> bool:
        """Committed, yet nothing of it was ever seen: the server ended in between."""
        return self.row.ended_at is None and self.job is None and self.started_at is None


@dataclass(frozen=True, kw_only=True)
class TaskView:
    """One trial (or the one task of a stage).

    Args:
        told: the end that the sampler was told.
        recorded: state in the journal; None without a row.
        launches: oldest first.
        reports: (step, value) that the sampler hasn't seen, oldest first.
        prune: the pruner wants it stopped.
        launching: a launch of it is just being made, and holds a slot.
    """

    task: str
    told: TrialState | None = None
    recorded: TrialState | None = None
    launches: tuple[LaunchView, ...] = ()
    reports: tuple[tuple[int, float], ...] = ()
    prune: bool = False
    launching: bool = False

    @property
    def settled(self) -> bool:
        """It has its end, that is written down, and nothing of it is left."""
        return (
            self.told is not None
            and self.recorded is self.told
            and all(one.job is None and one.row.ended_at is not None for one in self.launches)
        )


@dataclass(frozen=True, kw_only=True)
class World:
    """Everything a decision may depend on.

    Args:
        now: by the database's clock.
        started_at: when the stage (re)started; older failures don't stop it again.
        ran: some launch of this sweep has run, so that its image can be pulled.
        tasks: in the order they were asked for.
    """

    now: float
    started_at: float
    ran: bool = False
    tasks: tuple[TaskView, ...] = field(default=())


class Outcome(StrEnum):
    """How a sweep's or stage's controller ended."""

    COMPLETE = "complete"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, kw_only=True)
class Ask:
    """Sample the next trial's parameters and store them."""

    task: str


@dataclass(frozen=True, kw_only=True)
class Launch:
    """Commit launch ``number`` of a task, then start it."""

    task: str
    number: int


@dataclass(frozen=True, kw_only=True)
class Report:
    """Let the sampler and pruner see (step, value) pairs, oldest first."""

    task: str
    values: tuple[tuple[int, float], ...]


@dataclass(frozen=True, kw_only=True)
class Halt:
    """Write why a launch is to end, then ask the executor to end it."""

    task: str
    key: LaunchKey
    reason: Stop


@dataclass(frozen=True, kw_only=True)
class Accept:
    """Store the result that a launch left in its last message, as it couldn't post it."""

    task: str
    key: LaunchKey
    result: TrialResult


@dataclass(frozen=True, kw_only=True)
class End:
    """Write what a launch that is over came to; its later events are refused.

    Args:
        started_at: when it was seen to run; None where that wasn't seen.
    """

    task: str
    key: LaunchKey
    failure: FailureView | None
    started_at: float | None = None


@dataclass(frozen=True, kw_only=True)
class Tell:
    """Tell the sampler how a trial ended; it keeps the first end it is told."""

    task: str
    state: TrialState
    result: TrialResult | None = None


@dataclass(frozen=True, kw_only=True)
class Record:
    """Write a trial's state to the journal, from where the tracker's recorder takes it."""

    task: str
    state: TrialState
    failure: FailureView | None = None
    result: TrialResult | None = None


@dataclass(frozen=True, kw_only=True)
class Clean:
    """Let the executor forget a launch whose end is written down."""

    task: str
    key: LaunchKey


@dataclass(frozen=True, kw_only=True)
class Finish:
    """Nothing is left to do."""

    outcome: Outcome
    message: str = ""
    failure: FailureView | None = None


TaskAction = Ask | Launch | Report | Halt | Accept | End | Tell | Record | Clean
Action = TaskAction | Finish
