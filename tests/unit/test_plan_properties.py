"""The plan as a property: in a world where anything may be killed at any time, it comes to its end.

The simulated world carries actions out, repeats them, does half of them or loses them; jobs wait
for a place, an image or a Secret, end in every way there is, vanish, or go on as zombies of a lost
node; controller and server crash. Once the faults are used up, what is left
must end with exactly the trials asked for.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.api import Desired, TrialState
from modelyard.contract import (
    Exit,
    Failure,
    LaunchKey,
    Stage,
    Stop,
    TrialResult,
    TrialSpec,
)
from modelyard.executor import Evidence, Job, JobPhase
from modelyard.journal.rows import LaunchRow
from modelyard.sweep.failures import Category
from modelyard.sweep.plan import plan
from modelyard.sweep.sightings import Sightings
from modelyard.sweep.world import (
    CONFIG,
    COUNTED,
    IMAGE_PULL,
    Accept,
    Action,
    Ask,
    Clean,
    End,
    Finish,
    Halt,
    Launch,
    LaunchView,
    Outcome,
    Policy,
    Record,
    Report,
    TaskView,
    Tell,
    World,
)
from modelyard.trial.termination import Termination

ENDS = (
    Evidence(exit_code=0),
    Evidence(exit_code=Exit.BUG),
    Evidence(exit_code=Exit.STOPPED),
    Evidence(exit_code=Exit.OUT_OF_MEMORY),
    Evidence(exit_code=Exit.DIVERGED),
    Evidence(exit_code=Exit.FENCED),
    Evidence(signal=9),
    Evidence(signal=11),
    Evidence(signal=9, reason="MemoryLimit"),
    Evidence(reason="ForkServerLost"),
    Evidence(reason="Deleted"),
    Evidence(exit_code=143, reason="Evicted", host="n1"),
)
WAITS = ("ContainerCreating", "Unschedulable", "QuotaExceeded", "Queued", IMAGE_PULL, CONFIG)
RESULT = TrialResult(metrics={"accuracy": 0.5})


class Simulation:
    """Journal, study and executor in dictionaries, and a clock that only we move."""

    def __init__(self, chance: Random, faults: int) -> None:
        self.chance = chance
        self.faults = faults
        self.now = 100.0
        self.started_at = 0.0
        self.rows: dict[str, dict[int, LaunchRow]] = {}
        self.jobs: dict[LaunchKey, Job] = {}
        self.zombies: set[LaunchKey] = set()
        self.told: dict[str, TrialState | None] = {}
        self.recorded: dict[str, TrialState] = {}
        self.signalled: set[LaunchKey] = set()
        self.sightings = Sightings()
        self.pruned: set[str] = set()
        self.pending: dict[str, int] = {}
        self.reported: dict[str, int] = {}
        self.embedded = chance.random() < 0.5

    def fault(self, probability: float) -> bool:
        """Whether something goes wrong now; the number of faults is bounded."""
        if self.faults <= 0 or self.chance.random() >= probability:
            return False
        self.faults -= 1
        return True

    def world(self) -> World:
        self.sightings.see(self.jobs.values(), self.now)
        started = any(row.started_at for rows in self.rows.values() for row in rows.values())
        return World(
            now=self.now,
            started_at=self.started_at,
            ran=started or self.sightings.ran,
            tasks=tuple(self._task(task) for task in self.told),
        )

    def _task(self, task: str) -> TaskView:
        steps = 0 if self.told[task] is not None else self.pending.get(task, 0)
        return TaskView(
            task=task,
            told=self.told[task],
            recorded=self.recorded.get(task),
            launches=tuple(self._launch(row) for row in self.rows.get(task, {}).values()),
            reports=tuple((n, 0.5) for n in range(self.reported.get(task, 0) + 1, steps + 1)),
            prune=task in self.pruned,
        )

    def _launch(self, row: LaunchRow) -> LaunchView:
        return LaunchView(
            row=row,
            job=self.jobs.get(row.key),
            signalled=row.key in self.signalled,
            waiting_since=self.sightings.waiting_since(row.key),
            running_since=self.sightings.running_since(row.key),
        )

    def crash(self) -> None:
        """The controller loses its memory; an embedded server takes its jobs with it."""
        self.signalled.clear()
        self.pruned.clear()
        self.sightings = Sightings()
        if self.embedded:
            self.jobs.clear()

    def restart(self) -> None:
        """Somebody mended what stopped the sweep, and lets it go on."""
        self.now += 1.0
        self.started_at = self.now

    def row(self, key: LaunchKey) -> LaunchRow:
        return self.rows[key.task][key.number]

    def change(self, key: LaunchKey, **changes: Any) -> None:
        self.rows[key.task][key.number] = replace(self.row(key), **changes)

    def carry_out(self, action: Action, policy: Policy) -> None:
        half = self.fault(0.1)
        match action:
            case Ask(task=task):
                if task == str(len(self.told)):  # in order, as the study keeps it
                    self.told[task] = None
            case Launch(task=task, number=number):
                self.launch(task, number, policy, half)
            case Report(task=task, values=values):
                self.reported[task] = max(step for step, _ in values)
                if not half and self.fault(0.3):
                    self.pruned.add(task)
            case Halt(key=key, reason=reason):
                self.change(key, stop=self.row(key).stop or reason)
                if not half:
                    self.signalled.add(key)
                    self.end(key, Evidence(exit_code=Exit.STOPPED))
            case Accept(key=key, result=result):
                assert self.row(key).ended_at is None
                self.change(key, result=result)
            case End(key=key, failure=failure):
                assert key not in self.running()
                if self.row(key).ended_at is None:
                    self.change(key, ended_at=self.now, failure=failure)
            case Tell(task=task, state=state):
                assert self.told[task] in (None, state), "told two ends"
                self.told[task] = state
            case Record(task=task, state=state):
                assert self.recorded.get(task) not in COUNTED - {state}
                self.recorded[task] = state
            case Clean(key=key):
                assert self.row(key).ended_at is not None
                self.jobs.pop(key, None)

    def launch(self, task: str, number: int, policy: Policy, half: bool) -> None:
        key = LaunchKey(sweep="abcdefgh", task=task, number=number)
        rows = self.rows.setdefault(task, {})
        assert number in (max(rows, default=0), max(rows, default=0) + 1), "a number was left out"
        assert all(n == number or row.ended_at for n, row in rows.items()), "two at once"
        spec = TrialSpec(key=key, stage=Stage.TRIAL, document="d")
        rows.setdefault(number, LaunchRow(key=key, spec=spec, created_at=self.now))
        if not half and rows[number].ended_at is None:
            seen = Evidence(reason=self.chance.choice(WAITS)) if self.fault(0.3) else Evidence()
            waits = seen.reason or self.chance.random() < 0.3
            phase = JobPhase.WAITING if waits else JobPhase.RUNNING
            self.jobs.setdefault(key, Job(key=key, spec_digest="d", phase=phase, evidence=seen))
            alive = [self.row(k) for k in (*self.running(), *self.waiting())]
            at_work = [row for row in alive if row.result is None and row.ended_at is None]
            assert len(at_work) <= policy.parallel, "more at once than wanted"

    def running(self) -> list[LaunchKey]:
        return [key for key, job in self.jobs.items() if job.phase is JobPhase.RUNNING]

    def waiting(self) -> list[LaunchKey]:
        return [key for key, job in self.jobs.items() if job.phase is JobPhase.WAITING]

    def end(self, key: LaunchKey, evidence: Evidence) -> None:
        if key in self.jobs and self.jobs[key].phase in (JobPhase.RUNNING, JobPhase.WAITING):
            ended = JobPhase.SUCCEEDED if evidence.exit_code == 0 else JobPhase.FAILED
            self.jobs[key] = replace(self.jobs[key], phase=ended, evidence=evidence)

    def live(self) -> None:
        """Time goes on, and so do the jobs."""
        self.now += self.chance.choice([0.1, 1.0, 30.0])
        for key in self.waiting():
            self.wait(key)
        for key in self.running():
            row = self.row(key)
            if row.result is not None:
                self.end(key, Evidence(exit_code=0))
            elif row.ended_at is not None:
                self.end(key, Evidence(exit_code=Exit.FENCED))  # it was given up while it waited
            elif self.fault(0.3):
                self.misfortune(key)
            elif row.stop is None or self.chance.random() < 0.2:
                self.progress(key)
        for key in self.zombies:
            if self.row(key).ended_at is None:  # afterwards it is fenced
                self.progress(key)

    def wait(self, key: LaunchKey) -> None:
        """What lacks its image or a Secret mostly goes on lacking it; the rest find a place."""
        stuck = self.jobs[key].evidence.reason in (IMAGE_PULL, CONFIG)
        if self.chance.random() < (0.1 if stuck else 0.6):
            self.jobs[key] = replace(self.jobs[key], phase=JobPhase.RUNNING, evidence=Evidence())

    def misfortune(self, key: LaunchKey) -> None:
        kind = self.chance.randrange(len(ENDS) + 4)
        if kind == len(ENDS):
            self.now += 1000.0  # silence: it hangs
        elif kind == len(ENDS) + 1:
            del self.jobs[key]  # somebody deletes the job
        elif kind == len(ENDS) + 2:
            self.end(key, Evidence(exit_code=0, termination=last_message(key)))
        elif kind == len(ENDS) + 3:
            self.zombies.add(key)  # nobody hears of its node, on which it goes on
            self.end(key, Evidence(reason="NodeLost", host="n1"))
        else:
            self.hear(key, said=Failure(exit=Exit.BUG, summary=f"bug of {key}"))
            self.end(key, ENDS[kind])

    def progress(self, key: LaunchKey) -> None:
        epoch = (self.row(key).checkpoint or 0) + 1
        self.pending[key.task] = max(self.pending.get(key.task, 0), epoch)
        self.hear(key, phase="training", phase_steps=True, checkpoint=epoch)
        if epoch >= 3 and self.row(key).ended_at is None:
            self.change(key, result=RESULT)

    def hear(self, key: LaunchKey, **told: Any) -> None:
        """The launch has posted."""
        started_at = self.row(key).started_at or self.now
        self.change(key, beat_at=self.now, started_at=started_at, **told)


def last_message(key: LaunchKey) -> str:
    return Termination(launch=str(key), metrics=RESULT.metrics).model_dump_json()


def run(sim: Simulation, policy: Policy) -> Finish:
    """Follow the plan until it says that nothing is left; what stops it is mended."""
    while True:
        finish = run_once(sim, policy)
        if finish.failure is None or finish.failure.category != Category.CONFIGURATION:
            return finish
        sim.restart()


def run_once(sim: Simulation, policy: Policy) -> Finish:
    for _ in range(3000):
        world = sim.world()
        found = plan(world, policy)
        actions = found.actions
        if len(actions) == 1 and isinstance(actions[0], Finish):
            return actions[0]
        if sim.chance.random() < 0.3:
            sim.chance.shuffle(actions)
        done: set[str] = set()
        for action in actions:
            assert not isinstance(action, Finish)
            if action.task in done or sim.fault(0.1):
                continue  # one action of a trial at a time; or it is lost
            done.add(action.task)
            sim.carry_out(action, policy)
            if sim.fault(0.05):
                sim.carry_out(action, policy)  # its answer was lost, it is carried out again
            if sim.fault(0.05):
                sim.crash()
                break
        if not actions and not sim.running() and not sim.waiting():
            assert found.again_at, "nothing to do, nothing to wait for, and no end"
            sim.now = max(sim.now, found.again_at)
        sim.live()
    raise AssertionError("no end in 3000 rounds")


POLICIES = st.builds(
    Policy,
    trials=st.integers(1, 8),
    parallel=st.integers(1, 4),
    ahead=st.integers(0, 4),
    metrics=st.just(("accuracy",)),
    overlap=st.booleans(),
    trial_seconds=st.sampled_from([None, 500.0]),
    waiting_seconds=st.sampled_from([None, 50.0]),
)
CHANCES = st.integers(0, 2**32).map(Random)
ANYTHING = settings(max_examples=70)


def settled(sim: Simulation) -> bool:
    """No job left, and the journal has each trial as it was told."""
    return not sim.jobs and all(
        sim.recorded.get(task) is told for task, told in sim.told.items() if told is not None
    )


@ANYTHING
@given(policy=POLICIES, chance=CHANCES, faults=st.integers(0, 40))
def test_exactly_the_trials_asked_for_reach_an_end(
    policy: Policy, chance: Random, faults: int
) -> None:
    """Whatever is lost, repeated or killed: as many ends as asked for, and no job left."""
    sim = Simulation(chance, faults)
    run(sim, policy)
    assert [told in COUNTED for told in sim.told.values()] == [True] * policy.trials
    assert settled(sim)


@ANYTHING
@given(policy=POLICIES, chance=CHANCES, faults=st.integers(0, 40))
def test_an_interrupted_sweep_ends_and_goes_on(policy: Policy, chance: Random, faults: int) -> None:
    """Interrupted at any moment no job is left; continued, the same trials reach their end."""
    sim = Simulation(chance, faults)
    for _ in range(chance.randrange(12)):
        for action in plan(sim.world(), policy).actions[:1]:
            if not isinstance(action, Finish):
                sim.carry_out(action, policy)
        sim.live()
    finish = run(sim, replace(policy, desired=Desired.INTERRUPTED))
    assert finish.outcome is Outcome.INTERRUPTED
    assert settled(sim)
    assert TrialState.CANCELLED not in sim.told.values()
    run(sim, policy)
    assert [told in COUNTED for told in sim.told.values()] == [True] * policy.trials
    assert settled(sim)


@ANYTHING
@given(
    policy=POLICIES,
    chance=CHANCES,
    faults=st.integers(0, 40),
    by_time=st.booleans(),
)
def test_a_cancelled_sweep_leaves_nothing_open(
    policy: Policy, chance: Random, faults: int, by_time: bool
) -> None:
    """Cancelled or out of time at any moment: no job left, and every trial has an end."""
    sim = Simulation(chance, faults)
    for _ in range(chance.randrange(12)):
        for action in plan(sim.world(), policy).actions[:1]:
            if not isinstance(action, Finish):
                sim.carry_out(action, policy)
        sim.live()
    wanted = (
        replace(policy, ends_at=sim.now) if by_time else replace(policy, desired=Desired.CANCELLED)
    )
    run(sim, wanted)
    assert settled(sim)
    assert None not in sim.told.values()
    stops = {row.stop for rows in sim.rows.values() for row in rows.values()}
    assert Stop.INTERRUPTED not in stops or sim.started_at > 0  # what stopped it was mended
