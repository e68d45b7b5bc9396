"""What a reconciler works on: the trials of a sweep, or the one task of a stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from modelyard.api import Desired, TrialState
from modelyard.contract import LaunchKey, TrialSpec
from modelyard.executor import Capacity, Placement, Resources, SecretKey
from modelyard.experiment import resources as written
from modelyard.experiment.model import Experiment
from modelyard.sweep.world import Finish, Policy, Record, Tell


@dataclass(frozen=True, kw_only=True)
class Task:
    """One task as the sampler and the journal have it.

    Args:
        told: the end it was told, None while it is open.
        recorded: its state in the journal.
        reported: highest step that the sampler has seen.
    """

    task: str
    told: TrialState | None = None
    recorded: TrialState | None = None
    reported: int = 0


class Work(Protocol):
    """Carries out what concerns sampler and journal. Every call can be repeated.

    Calls of one task come one after another; those of different tasks may overlap.
    """

    @property
    def metric(self) -> str | None: ...  # key of Metrics events that is reported

    @property
    def resources(self) -> Resources: ...

    @property
    def placement(self) -> Placement: ...

    def tasks(self) -> Sequence[Task]: ...

    def policy(self, desired: Desired) -> Policy: ...

    def spec(self, key: LaunchKey) -> TrialSpec: ...

    async def ask(self, task: str) -> None: ...

    async def report(self, task: str, values: Sequence[tuple[int, float]]) -> bool: ...

    async def tell(self, action: Tell) -> None: ...

    async def record(self, action: Record) -> None: ...

    async def finish(self, action: Finish) -> None: ...


def resources_of(wanted: written.Resources, capacity: Capacity) -> Resources:
    """What one launch needs: on this machine GPUs only as far as it has any.

    Args:
        wanted: the experiment's section.
        capacity: what the executor has to share.
    """
    known = capacity.slots is None
    return Resources(
        cpus=wanted.cpus,
        threads=wanted.threads,
        memory_bytes=wanted.memory_bytes,
        gpus=min(wanted.gpus, capacity.devices) if known else wanted.gpus,
        nodes=wanted.nodes,
    )


def placement_of(experiment: Experiment) -> Placement:
    """Where the launches of an experiment may run, as its file says."""
    wanted = experiment.resources
    hours = experiment.budget.trial_hours
    return Placement(
        project=experiment.project,
        node_selector=wanted.node_selector,
        tolerations=wanted.tolerations,
        queue=wanted.queue,
        priority_class=wanted.priority_class,
        service_account=wanted.service_account,
        image=wanted.image,
        image_pull_secrets=wanted.image_pull_secrets,
        env={name: _env_value(value) for name, value in wanted.env.items()},
        volumes=wanted.volumes,
        labels=wanted.labels,
        annotations=wanted.annotations,
        deadline_seconds=None if hours is None else hours * 3600,
    )


def _env_value(value: str | written.EnvSecret) -> str | SecretKey:
    return value if isinstance(value, str) else SecretKey(name=value.secret, key=value.key)
