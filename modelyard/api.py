"""The documents of the server's HTTP API: what the client gets and what ``--json`` prints.

Published as JSON Schema by ``modelyard schema --all``. Times are seconds since 1970 by the
database's clock; lengths of time are seconds.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import Field

from modelyard.contract import Scalar, Wire


class SweepState(StrEnum):
    """State of a sweep with all its stages."""

    RUNNING = "running"
    COMPLETE = "complete"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"  # its owner went away; --continue goes on
    REFUSED = "refused"  # complete, but a required gate said no


ENDED = frozenset(SweepState) - {SweepState.RUNNING, SweepState.INTERRUPTED}
"""States that nothing leaves."""


class Desired(StrEnum):
    """What somebody wants of a sweep; the controllers see to it."""

    RUNNING = "running"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"


class TrialState(StrEnum):
    """State of one trial over all its launches."""

    WAITING = "waiting"
    RUNNING = "running"
    COMPLETE = "complete"
    PRUNED = "pruned"
    FAILED = "failed"
    INFEASIBLE = "infeasible"
    CANCELLED = "cancelled"


class StageState(StrEnum):
    """State of one stage of a flow."""

    RUNNING = "running"
    COMPLETE = "complete"
    FAILED = "failed"


STAGES = ("prepare", "sweep", "train", "evaluate", "register", "deploy")
"""The stages of the pipeline, in order."""


class Owner(Wire):
    """The process that a local sweep lives and dies with.

    Args:
        run: random id of that ``modelyard run``; services it started carry the same.
        process: its pid.
        started: its start time, so that a reused pid isn't taken for it.
    """

    run: str
    process: int
    started: float


class SweepRequest(Wire):
    """Asks for a new sweep, or for the one of this flow run if it exists.

    Args:
        experiment: the keys that were written; the server fills in the others.
        owner: of a local run; None for a sweep that outlives its starter.
        flow_run: Prefect's id, None until a flow takes the sweep on.
        tags: lineage known to the client: ``git_commit``, ``git_dirty``, ``user``, ``file``.
        code: BLAKE3 of the uploaded archive of the user's own code, None without such.
        notes: sentences that the user should see, known before it begins.
    """

    experiment: dict[str, Any]
    owner: Owner | None = None
    flow_run: str | None = None
    tags: dict[str, str] = {}
    code: str | None = None
    notes: tuple[str, ...] = ()


class RunRequest(Wire):
    """Asks for a sweep whose flow the server has Prefect run; see ``SweepRequest``."""

    experiment: dict[str, Any]
    tags: dict[str, str] = {}
    code: str | None = None
    notes: tuple[str, ...] = ()


class Counts(Wire):
    """Trials by state."""

    waiting: int = 0
    running: int = 0
    complete: int = 0
    pruned: int = 0
    failed: int = 0
    infeasible: int = 0
    cancelled: int = 0

    @property
    def ended(self) -> int:
        """Trials that count against the budget."""
        return self.complete + self.pruned + self.failed + self.infeasible


class FailureView(Wire):
    """Why a trial or stage failed: class, what it means, what was seen, what to do."""

    category: str
    summary: str
    resolution: str = ""
    evidence: dict[str, Any] = {}


class TrialView(Wire):
    """One trial.

    Args:
        values: one for each objective, empty until it is complete.
        metrics: latest known values; of the returned checkpoint once complete.
        health: scores 0 to 1 by name, only those that were measured, and ``health``, their
            weighted mean; of the checkpoint that the trial returned.
        total: metric and health together, what a sweep in the mode health-aware judges by; None
            in the mode simple.
        numbers: URI of the folder of numbers that it kept, from which pictures are drawn.
        step: epoch of ``metrics``; number of the fold in a running trial with folds.
        epochs: full length; with folds how many there are, over all repeats.
        seconds: time in launches so far.
        launches: how many there were.
        run: MLflow run id.
        waiting: what its launch waits for, in the scheduler's own words; empty when for nothing.
    """

    number: int
    state: TrialState
    values: tuple[float, ...] = ()
    parameters: dict[str, Scalar] = {}
    metrics: dict[str, float] = {}
    health: dict[str, float] = {}
    total: float | None = None
    numbers: str | None = None
    step: int | None = None
    epochs: int | None = None
    seconds: float = 0.0
    launches: int = 0
    run: str | None = None
    failure: FailureView | None = None
    waiting: str = ""


class StageView(Wire):
    """One stage: what it came to and how long it took; ``waiting`` as of a trial."""

    stage: str
    state: StageState
    started_at: float
    seconds: float
    waiting: str = ""
    outcome: dict[str, Any] = {}
    failure: FailureView | None = None


class SweepView(Wire):
    """A sweep, for progress bars, tables and ``--json``.

    Args:
        total: trials asked for, after a grid has cut them.
        best: best complete trial; with several objectives the first of ``front``.
        front: numbers of the Pareto-optimal trials, with several objectives.
        mean_trial_seconds: over trials that ran to their end or were pruned.
        eta_seconds: until ``total`` is reached; None until it can be told.
        notes: sentences that the user should see (a cut budget, more parallel than cores, …).
        waiting: what trials wait for now in the scheduler's own words, each once, behind how many.
        document: digest of its Document, which ``GET /v1/documents`` answers with.
        cursor: id of the newest event counted in here.
    """

    id: str
    name: str
    project: str
    state: SweepState
    desired: Desired
    message: str = ""
    created_at: float
    ended_at: float | None = None
    seconds: float = 0.0
    total: int
    counts: Counts = Counts()
    best: TrialView | None = None
    front: tuple[int, ...] = ()
    mean_trial_seconds: float | None = None
    eta_seconds: float | None = None
    notes: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    stages: tuple[StageView, ...] = ()
    flow_run: str | None = None
    run: str | None = None
    tags: dict[str, str] = {}
    document: str = ""
    cursor: int = 0


class EventView(Wire):
    """One stored event, as the stream sends it."""

    id: int
    sweep: str
    task: str
    launch: int
    received_at: float
    body: dict[str, Any]


class LogLine(Wire):
    """One line that a task printed. ``at`` is its receipt by the database's clock."""

    at: float
    task: str
    launch: int
    text: str


class LogPage(Wire):
    """Lines in the order of their arrival; ``cursor`` is where the next page goes on."""

    lines: tuple[LogLine, ...]
    cursor: int


class GateView(Wire):
    """A gate's verdict.

    Args:
        value: the metric on the test split.
        bound: its one-sided bootstrap bound, None where the gate asks for no confidence.
        limit: what it was held against; ``relation`` is ``at_least`` or ``at_most``.
    """

    metric: str
    relation: str
    limit: float
    value: float
    bound: float | None = None
    confidence: float | None = None
    advisory: bool = False
    passed: bool


class VersionView(Wire):
    """A model version and its evidence.

    Args:
        version: the registry's number.
        semantic: the version of our own, ``1.0.0``; unique for the model.
        aliases: champion, challenger, previous, rejected …
        gap: candidate minus champion on the same test rows in the metric's good direction;
            None without a champion.
    """

    name: str
    version: int
    semantic: str
    aliases: tuple[str, ...] = ()
    uri: str
    metrics: dict[str, float] = {}
    gates: tuple[GateView, ...] = ()
    gap: float | None = None
    tags: dict[str, str] = {}


class ServingView(Wire):
    """A model server of this installation; ``address`` is empty where none serves the version, as
    on a cluster for now."""

    name: str
    version: int
    address: str
    process: int
    example: str = ""


class RunView(Wire):
    """What one ``modelyard run`` came to.

    Args:
        version: the registered version; None when the run ended before.
        serving: who answers for the model now; None when nobody does.
    """

    sweep: SweepView
    version: VersionView | None = None
    serving: ServingView | None = None


class Health(Wire):
    """Whether the server and what it depends on are well. ``checks`` maps a name to "ok" or
    what is wrong."""

    status: str
    version: str
    epoch: int
    checks: dict[str, str] = {}


class Problem(Wire):
    """Body of every answer above 399."""

    error: str = Field(description="One sentence: what is wrong and what to do.")
    mistakes: tuple[dict[str, Any], ...] = ()
