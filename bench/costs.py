"""What parts of a trial cost its training: fits with them and without, see ``bench.lockstep``."""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.fit_peers import LEAST_ACCURACY
from bench.fits import EPOCHS, NEVER, Silent, experiment, fitted
from bench.lockstep import Fit, Lane, Share, Taken, abreast, share, total
from bench.our_fits import Place, finish, keeping, posting
from bench.table import Row
from modelyard.contract import LaunchKey, Reply
from modelyard.health.numbers import Kept, Numbers, write
from modelyard.store.store import join, store_for
from modelyard.train.beat import Beat
from modelyard.train.hooks import FitView, Hook
from modelyard.train.observers.activations import ActivationSample
from modelyard.train.observers.observed import Fitted, Observed, Observers
from modelyard.trial.intake import Intake
from modelyard.trial.reporter import LaunchReporter

TURNS = 16
TELLING = 2
"""Of the fits, those that tell a server: each takes a launch of its own."""

BURNT, NEAR = 0.02, 0.003
"""What is burnt on purpose, of the training, and how near the measure has to come to it."""


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
    """Looks at what the scores are made of, and at little more."""

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
    "modelyard.train.observers.observed.confusion": lambda *_: None,
    "modelyard.train.observers.observed.reliability": lambda *_: (),
}


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Fits in lockstep by their names, and what one of them burns in a turn.

    ``bare`` tells nothing and looks at nothing; ``burning`` burns, ``scored`` has health scores,
    ``kept`` keeps the numbers besides; ``live`` tells a server, ``saved`` writes checkpoints
    besides.
    """

    taken: Mapping[str, Taken]
    burnt_seconds: float


def measure(place: Place, epoch_seconds: float, batches: int, turns: int = TURNS) -> Measured:
    """Make the fits.

    Args:
        place: its server has ``TELLING`` launches open for each turn and one more.
        epoch_seconds: CPU time that an epoch takes, about.
        batches: of an epoch.
        turns: of all fits.
    """
    burnt = BURNT * epoch_seconds

    def beating(*args: Any, **options: Any) -> Beat:
        return Beat(*args, **options, clock=StepClock(epoch_seconds / batches))

    quiet = {
        "modelyard.train.beat.BEAT_SECONDS": float("inf"),
        "modelyard.train.stepping.NORM_EVERY": 1 << 30,  # one an epoch is left
    }
    unobserved = {OBSERVERS: Unobserved}
    silent, told = functools.partial(_silent, place), functools.partial(_told, place)
    telling = {**unobserved, "modelyard.train.training.Beat": beating}
    fits: dict[str, tuple[Fit, Mapping[str, Any]]] = {
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
    return Measured(taken=abreast(fits, turns), burnt_seconds=burnt * EPOCHS)


def rows(measured: Measured) -> list[Row]:
    """The figures of this module."""
    taken = measured.taken
    return [
        _cost(
            "live metrics",
            share(taken["live"], taken["bare"]),
            "with metrics of every epoch, progress twice a second and the gradient's norm, posted "
            "to a server, against a fit without them; the thread that posts is counted",
            0.01,
        ),
        _cost(
            "health scores",
            share(taken["scored"], taken["bare"]),
            "a fit whose health is scored against one without; of the training time, which is "
            "less than the trial's",
            0.02,
        ),
        _cost(
            "the numbers that a trial keeps",
            share(taken["kept"], taken["scored"]),
            "measured, written and stored, against a fit that is only scored; of the training time",
            0.01,
        ),
        _cost(
            "a checkpoint after each epoch",
            share(taken["saved"], taken["live"]),
            "gathered, written, stored in a folder with digests and told to the server; of the "
            f"training time, {_epoch_seconds(taken['live']):.2f} s an epoch",
        ),
        _known(measured),
    ]


def _cost(what: str, found: Share, note: str, most: float | None = None) -> Row:
    return Row(
        what=f"what {what} cost" + ("s" if most is None else ""),
        ours=str(found),
        goal="" if most is None else f"under {most:.0%}",
        met=None if most is None else found.high < most,
        note=note,
    )


def _epoch_seconds(taken: Taken) -> float:
    return total(taken.stretches[:, 1:]) / EPOCHS


def _known(measured: Measured) -> Row:
    bare = measured.taken["bare"]
    known = measured.burnt_seconds / (EPOCHS * _epoch_seconds(bare))
    found = share(measured.taken["burning"], bare)
    return Row(
        what=f"what a hook costs that burns {known:.2%} of the training",
        ours=str(found),
        goal=f"within {100 * NEAR:.1f} points of that",
        met=known - NEAR < found.low and found.high < known + NEAR,
        note="to see what the measure of these rows is worth",
    )


def _silent(place: Place, name: str, lane: Lane) -> None:
    """A fit that tells nobody; what it keeps is stored."""
    folder = place.folder / name
    found = fitted(place.snapshot, folder / "fit", Paced(lane))
    if found.observed.kept.arrays:
        write(found.observed.kept, folder / "numbers")
        base = (folder / "store").as_uri()
        store, uri = store_for(base), join(base, "numbers")
        store.commit(folder / "numbers", uri)
        store.delete(uri)  # the next one has the same place
    assert found.metrics["accuracy"] > LEAST_ACCURACY


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
