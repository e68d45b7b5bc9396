"""Our own fit as a trial runs it: told to a server, its checkpoints in a folder or far away."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.fit_peers import LEAST_ACCURACY
from bench.fits import NEVER, Clock, Seconds, experiment, fitted
from bench.slow_bucket import BASE
from modelyard.contract import Checkpoint, LaunchKey
from modelyard.data.snapshot import Snapshot
from modelyard.errors import ModelyardError
from modelyard.store.store import Store, join, store_for
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
    epoch besides, ``uploaded`` to the slow bucket.
    """
    return {
        "told": functools.partial(_told, place),
        "saved": functools.partial(_told, place, checkpoint_every=1),
        "uploaded": functools.partial(_told, place, checkpoint_every=1, far=True),
    }


def _told(place: Place, *, checkpoint_every: int = NEVER, far: bool = False) -> Seconds:
    """Wall time to the end of the fit, CPU time until its last checkpoint is stored and the
    server has taken its last event."""
    key = next(place.keys)
    scratch = place.folder / "scratch" / key.task
    bucket = place.bucket if far else None
    with Intake(place.server, None) as intake, ExitStack() as ways:
        poster, stopping = posting(intake, key, scratch)
        keeper = ways.enter_context(keeping(scratch, key, poster, bucket))
        report = Clocked(poster, stopping, keeper, experiment(checkpoint_every).objective[0])
        found = fitted(place.snapshot, scratch / "fit", report, checkpoint_every)
        wall = report.clock.read().wall
        finish(poster, keeper)
        cpu = report.clock.read().cpu
    assert found.metrics["accuracy"] > LEAST_ACCURACY
    return Seconds(cpu=cpu, wall=wall)


def finish(poster: Poster, keeper: Keeper) -> None:
    """Wait until the last checkpoint is stored and the last event acknowledged."""
    keeper.finish()
    if not poster.close(30.0):
        raise RuntimeError("not every event was acknowledged")


def posting(intake: Intake, key: LaunchKey, scratch: Path) -> tuple[Poster, Stopping]:
    """What tells a launch's events to a server, and hears from it whether to stop."""

    def ended(error: ModelyardError) -> None:
        raise error

    stopping = Stopping()
    poster = Poster(
        send=functools.partial(intake.post, key),
        spool=Spool(scratch / "spool"),
        on_stop=stopping.ask,
        on_end=ended,
    )
    poster.start()
    return poster, stopping


@contextmanager
def keeping(scratch: Path, key: LaunchKey, poster: Poster, bucket: str | None) -> Iterator[Keeper]:
    """What stores a launch's checkpoints: in a folder, or in the bucket of that address."""

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
