"""Fits that differ by one part: ready for ``bench.lockstep``, and for ``bench.calls``."""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.fit_peers import LEAST_ACCURACY
from bench.fits import NEVER, Silent, experiment, fitted
from bench.lockstep import Fit, Lane
from bench.our_fits import Place, finish, keeping, posting
from modelyard.contract import LaunchKey, Reply
from modelyard.health.numbers import Kept, Numbers, write
from modelyard.store.store import Store, join, store_for
from modelyard.train.beat import Beat
from modelyard.train.hooks import FitView, Hook
from modelyard.train.observers.activations import ActivationSample
from modelyard.train.observers.observed import Fitted, Observed, Observers
from modelyard.trial.intake import Intake
from modelyard.trial.reporter import LaunchReporter


class Paced(Silent):
    """A silent reporter of a fit in lockstep."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane

    def should_stop(self) -> bool:
        """Wait for the others."""
        self._lane.batch()
        return False


class PacedLaunch(LaunchReporter):
    """A launch's reporter in lockstep."""

    lane: Lane

    def should_stop(self) -> bool:
        """Wait for the others."""
        self.lane.batch()
        return super().should_stop()


class CountedIntake(Intake):
    """Knows what the thread that posts has taken since it began."""

    seconds = 0.0

    def post(self, key: LaunchKey, batch: bytes) -> Reply:
        """Post, and read the thread's clock."""
        try:
            return super().post(key, batch)
        finally:
            self.seconds = time.thread_time()


class StepClock:
    """Goes on by the same time with each batch, so that beats come at the same ones in each turn.

    Args:
        seconds: of a batch.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds, self._now = seconds, 0.0

    def __call__(self) -> float:
        """Read it."""
        self._now += self._seconds
        return self._now


class Burning(Hook):
    """Burns so many seconds of CPU after each epoch."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def epoch(self, fit: FitView, values: Mapping[str, float]) -> None:  # noqa: ARG002 - the hook's
        """Burn."""
        end = time.thread_time() + self._seconds
        while time.thread_time() < end:
            pass


class Unobserved:
    """In place of ``Observers``: looks at nothing, but for the hooks that it is given."""

    def __init__(self, *hooks: Hook) -> None:
        self.hooks = hooks

    def result(self, _fitted: Fitted) -> Observed:
        """Nothing."""
        return Observed(health={}, kept=Kept(numbers=Numbers()))


class WithoutMaps(ActivationSample):
    """Looks at the units alone."""

    def _keep_maps(self, *_: Any) -> None:
        """Keep none."""


class OnlyScored(Observers):
    """Looks at what the scores are made of, see ``ONLY_SCORED``."""

    def __init__(self) -> None:
        super().__init__()
        self._activations = WithoutMaps()

    @property
    def hooks(self) -> tuple[Hook, ...]:
        """Without the histograms."""
        return self._gradients, self._activations


OBSERVERS = "modelyard.train.fit.Observers"
ONLY_SCORED: Mapping[str, Any] = {
    OBSERVERS: OnlyScored,
    "modelyard.train.observers.activations._Maps.of": lambda *_: None,
    "modelyard.train.observers.observed.confusion": lambda *_: None,
    "modelyard.train.observers.observed.reliability": lambda *_: (),
}


def fits(
    place: Place, burnt: float, batch_seconds: float
) -> dict[str, tuple[Fit, Mapping[str, Any]]]:
    """Each fit by its name, with what some names stand for meanwhile.

    ``bare`` tells nothing and looks at nothing; ``burning`` burns, ``scored`` has health scores,
    ``kept`` keeps the numbers besides; ``live`` tells a server, ``saved`` writes checkpoints
    besides.

    Args:
        place: its server has a launch open for each ``live`` and ``saved`` that is made.
        burnt: CPU seconds that ``burning`` burns after each epoch.
        batch_seconds: that a batch takes, for those that beat.
    """

    def beating(*args: Any, **options: Any) -> Beat:
        return Beat(*args, **options, clock=StepClock(batch_seconds))

    quiet = {
        "modelyard.train.beat.BEAT_SECONDS": float("inf"),
        "modelyard.train.stepping.NORM_EVERY": 1 << 30,  # one an epoch is left
    }
    unobserved = {OBSERVERS: Unobserved}
    silent, told = functools.partial(_silent, place), functools.partial(_told, place)
    telling = {**unobserved, "modelyard.train.training.Beat": beating}
    return {
        "bare": (functools.partial(silent, "bare"), {**quiet, **unobserved}),
        "burning": (
            functools.partial(silent, "burning"),
            {**quiet, OBSERVERS: functools.partial(Unobserved, Burning(burnt))},
        ),
        "scored": (functools.partial(silent, "scored"), {**quiet, **ONLY_SCORED}),
        "kept": (functools.partial(silent, "kept"), quiet),
        "live": (functools.partial(told, NEVER), telling),
        "saved": (functools.partial(told, 1), telling),
    }


def _silent(place: Place, name: str, lane: Lane) -> None:
    """A fit that tells nobody; what it keeps is stored."""
    folder = place.folder / name
    found = fitted(place.snapshot, folder / "fit", Paced(lane))
    if found.observed.kept.arrays:
        base = (folder / "store").as_uri()
        store = store_for(base)
        store.delete(stored(found.observed.kept, folder / "numbers", store, base))
    assert found.metrics["accuracy"] > LEAST_ACCURACY


def stored(kept: Kept, folder: Path, store: Store, base: str) -> str:
    """Write the numbers into a folder, commit it to a store and give its address there."""
    write(kept, folder)
    return store.commit(folder, join(base, "numbers"))


def _told(place: Place, checkpoint_every: int, lane: Lane) -> None:
    """A fit that tells a server, to its last event."""
    key = next(place.keys)
    scratch = place.folder / "scratch" / key.task
    intake = CountedIntake(place.server, None)
    with intake:
        poster, stopping = posting(intake, key, scratch)
        with keeping(scratch, key, poster, None) as keeper:
            report = PacedLaunch(
                poster, stopping, keeper, experiment(checkpoint_every).objective[0]
            )
            report.lane = lane
            found = fitted(place.snapshot, scratch / "fit", report, checkpoint_every)
            finish(poster, keeper)
        lane.beside = intake.seconds
    assert found.metrics["accuracy"] > LEAST_ACCURACY
