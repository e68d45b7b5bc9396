"""All that crosses between controller and trial: specs, events, replies, results, exit codes.

Both sides import this module and nothing else of each other. A task is what is launched: a
trial (named by its number) or a stage (named by its word); a launch is one try at a task.
"""

from __future__ import annotations

import json
from enum import IntEnum, StrEnum
from typing import Annotated, Any, Literal, TypeAlias

from blake3 import blake3
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

Scalar: TypeAlias = bool | int | float | str | None
"""A parameter's value as Optuna, JSON and MLflow all carry it."""

SPEC_LIMIT_BYTES = 1024
"""A spec travels in one environment variable; more would not be "a message under 1 KB"."""


class Exit(IntEnum):
    """Exit codes of the trial program; the only thing that survives when no message gets out."""

    ACCEPTED = 0  # the server acknowledged the result
    BUG = 1  # an exception that nothing below explains
    STOPPED = 75  # told to stop, and a checkpoint is saved
    CONFIGURATION = 76  # would fail the same way for every trial
    OUT_OF_MEMORY = 77
    DIVERGED = 78  # loss NaN or infinite
    FENCED = 79  # a newer launch exists, or the trial has ended


class Variable(StrEnum):
    """The environment of a trial process, whole."""

    SPEC = "MODELYARD_TRIAL"  # TrialSpec as JSON
    SERVER = "MODELYARD_SERVER"  # the intake's base URL
    TOKEN = "MODELYARD_TOKEN"  # the sweep's token, where the server asks for one
    SCRATCH = "MODELYARD_SCRATCH"  # a folder of this launch's own for spool and temporary files
    TERMINATION = "MODELYARD_TERMINATION"  # file for the last message; Kubernetes keeps 4 KiB
    CACHE = "MODELYARD_CACHE"  # a folder that launches of one node share, for what is fetched


class Stage(StrEnum):
    """What a launch is for. Only ``trial`` belongs to a sampler; the others are a flow's stages."""

    PREPARE = "prepare"  # read the source, write the snapshot
    TRIAL = "trial"  # one configuration, on training and validation split
    TRAIN = "train"  # the winner's parameters to full length
    EVALUATE = "evaluate"  # test split, gates, champion on the same rows


class Wire(BaseModel):
    """Base of everything sent: frozen, and an unknown key is an error on either side."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class LaunchKey(Wire):
    """Names one launch everywhere: journal row, process, Job, folder of artifacts.

    Args:
        sweep: sweep id, ``[a-z0-9]{8}``, random.
        task: a trial's number as text, or the name of a stage.
        number: from 1; a launch with a smaller number than the newest is fenced.
    """

    sweep: str
    task: str
    number: int = Field(ge=1)

    def __str__(self) -> str:
        return f"{self.sweep}-{self.task}-{self.number}"


class TrialSpec(Wire):
    """What a launch has to do, under 1 KB.

    Args:
        key: this launch.
        stage: what kind of work.
        document: BLAKE3 of the ``Document`` to fetch; the server answers with just that one.
        parameters: sampled values by name of the space; empty for prepare.
        seed: the same for every trial of a sweep, so that equal parameters give equal numbers.
        epochs: full length of the fit in epochs (the schedule's horizon).
        resume: folder URI of an earlier launch's task folder whose newest whole checkpoint is
            where to go on; None starts fresh.
        inputs: URIs by role: ``model`` and ``champion`` for evaluate, ``snapshot`` for all but
            prepare.
    """

    key: LaunchKey
    stage: Stage
    document: str
    parameters: dict[str, Scalar] = {}
    seed: int = 0
    epochs: int | None = None
    resume: str | None = None
    inputs: dict[str, str] = {}

    def to_json(self) -> str:
        """The spec as it travels.

        Raises:
            ValueError: longer than ``SPEC_LIMIT_BYTES``.
        """
        text = self.model_dump_json(exclude_defaults=True)
        if len(text.encode()) > SPEC_LIMIT_BYTES:
            raise ValueError(
                f"the spec of {self.key} takes {len(text.encode())} bytes; "
                f"{SPEC_LIMIT_BYTES} is the limit: shorten names in search.space"
            )
        return text

    @property
    def digest(self) -> str:
        """BLAKE3 of the spec: two launches with one key and two digests are a bug."""
        return digest_of(self.model_dump(mode="json"))


class PinnedVersion(Wire):
    """The registered version that a sweep's networks start from, as it was when the sweep was
    made: an alias may move, and what goes on later starts from the same.

    Args:
        version: ``models:/NAME/VERSION``.
        uri: of the committed folder with its packed model.
        digest: of the BLAKE3 of each of its files.
        family: of its model; None where that wasn't noted when it was registered.
    """

    version: str
    uri: str
    digest: str
    family: str | None = None


class Document(Wire):
    """What all launches of a sweep share; fetched once by digest.

    Args:
        experiment: the validated experiment, every default filled in.
        store: base URI under which this sweep's artifacts lie.
        code: URI of the committed folder with the user's own code, None without such.
        weights: the version that the experiment's weights are of, None where they are of none.
        written: keys of ``train`` that the user wrote and a space might name, where a default one
            is yet to be filled in, which leaves them alone; None where there are none.
    """

    experiment: dict[str, Any]
    store: str
    code: str | None = None
    weights: PinnedVersion | None = None
    written: tuple[str, ...] | None = None

    @property
    def digest(self) -> str:
        """BLAKE3 of the document's canonical JSON, 64 hexadecimal digits."""
        # Without these it is what it was before there were such: older sweeps go on.
        without = {name for name in ("weights", "written") if getattr(self, name) is None}
        return digest_of(self.model_dump(mode="json", exclude=without))


class Started(Wire):
    """First word of a launch: where it runs and what decides its numbers (T6).

    ``plugins`` are those that take part: ``models.NAME`` and its distribution with its version.
    """

    kind: Literal["started"] = "started"
    host: str
    process: int
    versions: dict[str, str]
    threads: int
    capability: str
    device: str
    resumed_epoch: int | None = None
    plugins: dict[str, str] = {}


class Phase(Wire):
    """The launch entered a phase; each phase has its own patience before it counts as hung.

    ``steps`` says whether beats are to be expected: a classical fit has none.
    """

    kind: Literal["phase"] = "phase"
    name: Literal["loading", "compiling", "training", "fitting", "evaluating", "saving"]
    steps: bool = False


class Metrics(Wire):
    """Values at the end of a step. ``step`` counts epochs from 1 (folds, where there are some).

    Keys carry their split: ``train_loss``, ``validation_accuracy``, ``learning_rate``.
    """

    kind: Literal["metrics"] = "metrics"
    step: int
    values: dict[str, float]


class Progress(Wire):
    """How far within the task; also the beat that shows that training goes on.

    Args:
        epoch: the running one, from 1, of ``epochs``.
        fraction: of the whole task that is done.
        epoch_fraction: of the running epoch that is done.
        examples_per_second: training examples since the last progress.
        loss: mean of the running epoch's batches so far.
        gradient_norm: the newest that was looked at, before clipping.
        memory_bytes: resident size of the process.
        device_memory_bytes: what tensors take on the GPU; None without one.
    """

    kind: Literal["progress"] = "progress"
    epoch: int
    epochs: int
    fraction: float = Field(ge=0, le=1)
    epoch_fraction: float | None = Field(None, ge=0, le=1)
    examples_per_second: float | None = None
    loss: float | None = None
    gradient_norm: float | None = None
    memory_bytes: int | None = None
    device_memory_bytes: int | None = None


class Log(Wire):
    """Lines that the trial printed."""

    kind: Literal["log"] = "log"
    lines: tuple[str, ...]


class Checkpoint(Wire):
    """A checkpoint is whole: its manifest is written."""

    kind: Literal["checkpoint"] = "checkpoint"
    epoch: int
    uri: str


class Failure(Wire):
    """Why the program is about to end without a result."""

    kind: Literal["failure"] = "failure"
    exit: Exit
    summary: str
    detail: str = ""
    step: int | None = None


class TrialResult(Wire):
    """What a launch came to; accepted once for each task.

    Args:
        metrics: plain metric names; of the validation split for trial and train, of the test
            split for evaluate; of the checkpoint that ``model`` is.
        step: epoch of that checkpoint; None where the fit has no epochs.
        model: folder URI of the packed model, None where there is none.
        outcome: small JSON of the stage: the snapshot's card, gates and comparison, …
        health: scores 0 to 1 by name, of trial and train: only those that were measured, and
            with any of them ``health``, their weighted mean.
        seconds: wall time of the work.
        peak_memory_bytes: largest resident size of the process.
    """

    kind: Literal["result"] = "result"
    metrics: dict[str, float] = {}
    step: int | None = None
    model: str | None = None
    outcome: dict[str, Any] = {}
    health: dict[str, float] = {}
    seconds: float = 0.0
    peak_memory_bytes: int = 0


Body: TypeAlias = Annotated[
    Started | Phase | Metrics | Progress | Log | Checkpoint | Failure | TrialResult,
    Field(discriminator="kind"),
]

BODY: TypeAdapter[Body] = TypeAdapter(Body)

EXPENDABLE: tuple[str, ...] = ("log", "progress")
"""Kinds that a full spool may drop, in this order; nothing else is ever dropped."""


class Event(Wire):
    """One event of a launch. (key, sequence) names it: sent twice, it is stored once.

    Args:
        sequence: from 1, without gaps unless events were dropped.
        at: the trial's clock in seconds since 1970; told, never trusted.
        body: what happened.
    """

    sequence: int = Field(ge=1)
    at: float
    body: Body


class Batch(Wire):
    """What a trial posts: events in order, and how many it had to drop so far."""

    events: tuple[Event, ...]
    dropped: int = 0


class Stop(StrEnum):
    """Why a launch is to end before its time."""

    PRUNED = "pruned"
    CANCELLED = "cancelled"
    BUDGET = "budget"
    INTERRUPTED = "interrupted"  # checkpoint, end with 75; a later launch goes on
    HUNG = "hung"
    TIMED_OUT = "timed out"
    OUT_OF_MEMORY = "out of memory"


class Reply(Wire):
    """The intake's answer to a batch.

    Args:
        accepted: highest sequence number that is stored for good.
        stop: end within a batch when set: with a checkpoint and exit 75.
        interval_seconds: shortest time between two posts, raised under load; 0 means at once.
    """

    accepted: int
    stop: Stop | None = None
    interval_seconds: float = 0.0


def digest_of(value: Any) -> str:
    """BLAKE3 of a JSON value in canonical form (sorted keys, no spaces), 64 hex digits."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return str(blake3(text.encode()).hexdigest())
