"""A task's launches judged: what they came to, and what can be foreseen. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from modelyard.api import FailureView
from modelyard.contract import Stage, TrialResult
from modelyard.executor import Job
from modelyard.sweep.failures import classify
from modelyard.sweep.verdict import Verdict, verdict
from modelyard.sweep.waiting import waited_out
from modelyard.sweep.world import LaunchView, Policy, TaskView, World
from modelyard.trial.termination import read_termination


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """One task.

    Args:
        verdict: what its launches came to; None while its newest isn't written down as ended.
        foreseen: the verdict that follows once ends that can be seen are written down.
        waited_out: why its newest launch, which waits, is given up.
    """

    task: TaskView
    verdict: Verdict | None
    foreseen: Verdict | None
    waited_out: FailureView | None = None

    @property
    def alive(self) -> bool:
        """Its newest launch isn't written down as ended."""
        return bool(self.task.launches) and self.task.launches[-1].row.ended_at is None

    @property
    def decided(self) -> bool:
        """It has an end, told or not."""
        return self.verdict is not None and self.verdict.state is not None

    def ended_at(self, world: World) -> float:
        """When its newest launch ended; now, if that isn't written down."""
        return self.task.launches[-1].row.ended_at or world.now

    def holds_slot(self, policy: Policy) -> bool:
        """Whether it counts among the launches at once; one that waits for its place does."""
        if self.task.launching or not self.alive:
            return self.task.launching
        newest = self.task.launches[-1]
        return not newest.gone and not (policy.overlap and newest.row.result is not None)


def judge(task: TaskView, world: World, policy: Policy) -> Judged:
    """What a task's launches have come to, and will once their ends are written down."""
    rows = [launch.row for launch in task.launches]
    found = verdict(rows, policy, world.started_at)
    if found is not None:
        return Judged(task=task, verdict=found, foreseen=found)
    newest = task.launches[-1]
    late = waited_out(newest, world.now, policy, ran=world.ran)
    if late is None and not newest.gone:
        return Judged(task=task, verdict=None, foreseen=None)
    failure = late or classify(newest.row, newest.job)
    rows[-1] = replace(newest.row, ended_at=world.now, failure=failure)
    foreseen = verdict(rows, policy, world.started_at)
    return Judged(task=task, verdict=None, foreseen=foreseen, waited_out=late)


def unposted(launch: LaunchView, policy: Policy) -> TrialResult | None:
    """The result that a trial left in its last message, since the intake was away.

    Only a trial's is whole: the message has no room for the outcome of a stage.
    """
    row, job = launch.row, launch.job
    over = row.result is not None or row.ended_at is not None or not launch.gone
    if over or job is None or row.spec.stage is not Stage.TRIAL:
        return None
    return _result(job, policy)


def _result(job: Job, policy: Policy) -> TrialResult | None:
    left = read_termination(job.evidence.termination, job.key)
    if left is None or left.failure or not set(policy.metrics) <= left.metrics.keys():
        return None
    return TrialResult(metrics=left.metrics, step=left.step, model=left.model, health=left.health)
