"""Our own fit in several ways: as a trial runs it, and without some of its parts.

What a part costs is the difference between a fit with it and one without.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from bench.fit_peers import LEAST_ACCURACY
from bench.fits import NEVER, Clock, Seconds, Silent, experiment, fitted
from bench.slow_bucket import BASE
from modelyard.contract import Checkpoint, LaunchKey
from modelyard.data.snapshot import Snapshot
from modelyard.errors import ModelyardError
from modelyard.health.numbers import Kept, Numbers, write
from modelyard.store.store import Store, join, store_for
from modelyard.train.hooks import Hook
from modelyard.train.observers.activations import ActivationSample
from modelyard.train.observers.observed import Fitted, Observed, Observers
from modelyard.train.reporting import PhaseName
from modelyard.trial.background import BackgroundCheckpoints, ForegroundCheckpoints, Keeper
from modelyard.trial.checkpoints import Checkpoints
from modelyard.trial.intake import Intake
from modelyard.trial.poster import Poster
from modelyard.trial.remote_store import RemoteStore
from modelyard.trial.reporter import LaunchReporter
from modelyard.trial.spool import Spool
from modelyard.trial.stopping import Stopping

TELLING = 3
"""Of the fits, those that tell a server: each takes a launch of its own."""


class Clocked(LaunchReporter):
    """A launch's reporter that notes when training began."""

    clock: Clock

    def phase(self, name: PhaseName, steps: bool) -> None:
        """Start the clock at the first step."""
        super().phase(name, steps)
        if steps:
            self.clock = Clock()


class Unobserved:
    """In place of ``Observers``: looks at nothing."""

    hooks = ()

    def result(self, _fitted: Fitted) -> Observed:
        """Nothing."""
        return Observed(health={}, kept=Kept(numbers=Numbers()))


class OnlyScored(Observers):
    """Looks at what the scores are made of, and at little more."""

    @property
    def hooks(self) -> tuple[Hook, ...]:
        """Without the histograms."""
        return self._gradients, self._activations


@dataclass(frozen=True, kw_only=True)
class Place:
    """What our fits need.

    Args:
        snapshot: what they learn from.
        folder: for their files.
        server: address of the one that takes their events.
        bucket: address of the slow one.
        keys: open launches of that server.
    """

    snapshot: Snapshot
    folder: Path
    server: str
    bucket: str
    keys: Iterator[LaunchKey]


def our_fits(place: Place) -> dict[str, Callable[[], Seconds]]:
    """Each way by its name.

    ``told`` posts its events to a server; ``saved`` writes a checkpoint to a folder after each
    epoch besides, ``uploaded`` to the slow bucket. ``untold`` posts nothing, and measures
    nothing for the sake of progress. The others post nothing: ``unobserved`` has no
    health scores and keeps no numbers, ``scored`` keeps none, and ``kept`` does both.
    """
    return {
        "told": functools.partial(_told, place),
        "saved": functools.partial(_told, place, checkpoint_every=1),
        "uploaded": functools.partial(_told, place, checkpoint_every=1, far=True),
        "untold": functools.partial(_untold, place),
        "unobserved": functools.partial(_silent, place, Unobserved),
        "scored": functools.partial(_silent, place, OnlyScored),
        "kept": functools.partial(_silent, place, Observers, keep=True),
    }


def _told(place: Place, *, checkpoint_every: int = NEVER, far: bool = False) -> Seconds:
    """Wall time to the end of the fit, CPU time until its last checkpoint is stored and the
    server has taken its last event."""
    key = next(place.keys)
    scratch = place.folder / "scratch" / key.task
    with ExitStack() as ways:
        poster, stopping = ways.enter_context(_posting(place.server, key, scratch))
        keeper = ways.enter_context(_keeper(scratch, key, poster, place.bucket if far else None))
        objective = experiment(checkpoint_every).objective[0]
        report = Clocked(poster, stopping, keeper, objective)
        found = fitted(place.snapshot, scratch / "fit", report, checkpoint_every)
        wall = report.clock.read().wall
        keeper.finish()
        if not poster.close(30.0):
            raise RuntimeError("not every event was acknowledged")
        cpu = report.clock.read().cpu
    assert found.metrics["accuracy"] > LEAST_ACCURACY
    return Seconds(cpu=cpu, wall=wall)


@contextmanager
def _posting(server: str, key: LaunchKey, scratch: Path) -> Iterator[tuple[Poster, Stopping]]:
    def ended(error: ModelyardError) -> None:
        raise error

    stopping = Stopping()
    with Intake(server, None) as intake:
        poster = Poster(
            send=functools.partial(intake.post, key),
            spool=Spool(scratch / "spool"),
            on_stop=stopping.ask,
            on_end=ended,
        )
        poster.start()
        yield poster, stopping


@contextmanager
def _keeper(scratch: Path, key: LaunchKey, poster: Poster, bucket: str | None) -> Iterator[Keeper]:
    def stored(epoch: int, uri: str) -> None:
        poster.post(Checkpoint(epoch=epoch, uri=uri))

    def checkpoints(store: Store, base: str) -> Checkpoints:
        return Checkpoints(store, join(base, "sweeps", key.sweep, key.task, str(key.number)))

    if bucket is None:
        base = (scratch / "artifacts").as_uri()
        yield ForegroundCheckpoints(checkpoints(store_for(base), base), stored)
        return
    with Intake(bucket, None) as intake:
        store = RemoteStore(
            intake=intake,
            key=key,
            base=BASE,
            cache=scratch / "cache",
            scratch=scratch / "fetched",
        )
        with closing(store):
            yield BackgroundCheckpoints(checkpoints(store, BASE), scratch / "leaving", stored)


def _untold(place: Place) -> Seconds:
    with (
        mock.patch("modelyard.train.beat.BEAT_SECONDS", float("inf")),
        mock.patch("modelyard.train.stepping.NORM_EVERY", 1 << 30),  # one an epoch is left
    ):
        return _silent(place, Observers)


def _silent(
    place: Place, observers: Callable[[], Observers | Unobserved], keep: bool = False
) -> Seconds:
    """Seconds to the end of the fit, or until the numbers that it keeps are stored."""
    report = Silent()
    with mock.patch("modelyard.train.fit.Observers", observers), ExitStack() as patches:
        if not keep and observers is OnlyScored:
            patches.enter_context(mock.patch.object(ActivationSample, "_keep_maps"))
        found = fitted(place.snapshot, place.folder / "fit", report)
    if keep:
        _store(found.observed.kept, place.folder / "kept")
    assert found.metrics["accuracy"] > LEAST_ACCURACY
    return report.clock.read()


def _store(kept: Kept, folder: Path) -> None:
    """As a trial does it."""
    write(kept, folder / "numbers")
    base = (folder / "store").as_uri()
    store, uri = store_for(base), join(base, "numbers")
    store.commit(folder / "numbers", uri)
    store.delete(uri)  # the next one has the same place
