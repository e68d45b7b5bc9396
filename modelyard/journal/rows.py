"""What the journal holds, as values. Times are seconds since 1970 by the database's clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import Any

from modelyard.api import Desired, FailureView, Owner, StageState, SweepState, TrialState
from modelyard.contract import Body, Failure, LaunchKey, Scalar, Stop, TrialResult, TrialSpec


@dataclass(frozen=True, kw_only=True)
class SweepRow:
    """One sweep.

    Args:
        document: digest of its Document.
        trials: trials asked for, after a grid has cut the budget; None until that is known.
        notes: sentences for the user.
        run: id of the MLflow parent run.
        owner_renewed_at: last sign of life of the owner.
    """

    id: str
    name: str
    project: str
    experiment: dict[str, Any]
    document: str
    state: SweepState
    desired: Desired
    message: str
    created_at: float
    ended_at: float | None = None
    trials: int | None = None
    notes: tuple[str, ...] = ()
    owner: Owner | None = None
    owner_renewed_at: float | None = None
    flow_run: str | None = None
    run: str | None = None
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class StageRow:
    """One stage of a sweep; ``outcome`` is what a repeated flow gets."""

    sweep: str
    stage: str
    state: StageState
    started_at: float
    ended_at: float | None = None
    outcome: dict[str, Any] = field(default_factory=dict)
    failure: FailureView | None = None


@dataclass(frozen=True, kw_only=True)
class TrialRow:
    """The journal's copy of one trial: what Optuna was told, and what the tracker has.

    Args:
        values: of the objectives, one for each; empty until it is complete.
        health: scores by name, see ``contract.TrialResult``.
        total: what it is judged by in the mode health-aware; None in the mode simple, where that
            is ``values``.
        numbers: URI of the folder of numbers that it kept.
        run: MLflow run id, None until the recorder made it.
        recorded: the tracker holds its end.
    """

    sweep: str
    number: int
    state: TrialState
    parameters: dict[str, Scalar]
    values: tuple[float, ...] = ()
    metrics: dict[str, float] = field(default_factory=dict)
    step: int | None = None
    model: str | None = None
    health: dict[str, float] = field(default_factory=dict)
    total: float | None = None
    numbers: str | None = None
    failure: FailureView | None = None
    run: str | None = None
    recorded: bool = False


@dataclass(frozen=True, kw_only=True)
class LaunchRow:
    """One launch.

    Args:
        stop: why it was told to end; written before any signal.
        result: the accepted result.
        said: what the program itself said of its failure.
        started_at: when it was first heard of, or seen to run; before, it waited for its place.
        ended_at: when its end was classified; ``failure`` is what it was classed as.
        beat_at: receipt of its newest event.
        phase: newest phase, and whether beats are expected in it.
        checkpoint: newest whole checkpoint's epoch.
    """

    key: LaunchKey
    spec: TrialSpec
    created_at: float
    stop: Stop | None = None
    stop_at: float | None = None
    result: TrialResult | None = None
    said: Failure | None = None
    started_at: float | None = None
    ended_at: float | None = None
    failure: FailureView | None = None
    beat_at: float | None = None
    phase: str | None = None
    phase_steps: bool = False
    checkpoint: int | None = None

    def ran_seconds(self, now: float) -> float:
        """How long it has run; waiting for its place doesn't count."""
        if self.started_at is None:
            return 0.0
        return max(0.0, (self.ended_at or now) - self.started_at)


@dataclass(frozen=True, kw_only=True)
class News:
    """What a sweep's controller has to know, as of one moment.

    Args:
        events: all behind its cursor, oldest first.
        launches: those whose end isn't written down.
        refused_at: when the database last took nothing that was to be written, by its own clock;
            minus infinity where it never did.
    """

    now: float
    refused_at: float = -inf
    desired: Desired
    events: tuple[EventRow, ...]
    launches: tuple[LaunchRow, ...]


@dataclass(frozen=True, kw_only=True)
class EventRow:
    """One stored event; ``id`` grows in the order of commits, so a cursor misses none."""

    id: int
    key: LaunchKey
    sequence: int
    received_at: float
    body: Body
