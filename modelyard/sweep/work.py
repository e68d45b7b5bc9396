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
    def metric(self) -> str | None:
        """Key of the ``Metrics`` events that are reported; None where nothing is."""
        ...

    @property
    def resources(self) -> Resources:
        """What each launch needs."""
        ...

    @property
    def placement(self) -> Placement:
        """Where launches may run."""
        ...

    def tasks(self) -> Sequence[Task]:
        """All that were asked for, by number."""
        ...

    def policy(self, desired: Desired) -> Policy:
        """The limits, with what is desired now."""
        ...

    def spec(self, key: LaunchKey) -> TrialSpec:
        """What a launch has to do; the same for the same key, whenever it is asked for."""
        ...

    async def ask(self, task: str) -> None:
        """Ask the sampler for a task that isn't there yet."""
        ...

    async def report(self, task: str, values: Sequence[tuple[int, float]]) -> bool:
        """Show (step, value) pairs, oldest first; whether the task is to be pruned."""
        ...

    async def tell(self, action: Tell) -> None:
        """Tell the sampler how a task ended."""
        ...

    async def record(self, action: Record) -> None:
        """Write a task's end to the journal."""
        ...

    async def finish(self, action: Finish) -> None:
        """Write the end of the stage."""
        ...


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
