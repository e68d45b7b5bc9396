"""Fits as benchmarks make them: prepared data, our fit, its seconds, and several fits in turns.

Fits that are compared run on one thread of one process, turn and turn about, so that a busy
machine is busy for all of them; what is compared is CPU time, which on an idle machine is the
wall time.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from modelyard.data.prepare import prepare
from modelyard.data.snapshot import Snapshot, open_snapshot
from modelyard.experiment.model import Data, Experiment, Model
from modelyard.experiment.training import Train
from modelyard.store.store import store_for
from modelyard.train.fit import FitJob, FitOutcome, fit
from modelyard.train.reporting import PhaseName, Reporter, Standing

EPOCHS, BATCH, SEED = 10, 64, 7
DATA = Data(source="sklearn:digits")
NEVER = EPOCHS + 1
"""Epochs between two checkpoints of a fit that writes none."""


@dataclass(frozen=True, kw_only=True)
class Seconds:
    """What something took: CPU time of the whole process, and wall time."""

    cpu: float
    wall: float


class Clock:
    """Reads the seconds since it was made."""

    def __init__(self) -> None:
        self._cpu, self._wall = time.process_time(), time.perf_counter()

    def read(self) -> Seconds:
        """Since it was made."""
        return Seconds(cpu=time.process_time() - self._cpu, wall=time.perf_counter() - self._wall)


class Silent:
    """A reporter that only notes when training began."""

    clock: Clock

    def phase(self, _name: PhaseName, steps: bool) -> None:
        """Start the clock at the first step."""
        if steps:
            self.clock = Clock()

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Take no notice."""

    def progress(self, standing: Standing) -> None:
        """Take no notice."""

    def wants_checkpoint(self) -> bool:
        """Always."""
        return True

    def checkpoint(self, epoch: int, folder: Path) -> None:
        """Take no notice."""

    def should_stop(self) -> bool:
        """Never."""
        return False


def prepared(data: Data, seed: int, folder: Path) -> Snapshot:
    """The snapshot that a sweep would learn from, in a store within a folder."""
    base = (folder / "store").as_uri()
    store = store_for(base)
    made = prepare(data, seed=seed, base=folder, store=store, store_base=base, scratch=folder)
    return open_snapshot(store.fetch(made.uri))


def experiment(checkpoint_every: int) -> Experiment:
    """The default cnn on scikit-learn's digits."""
    train = Train(epochs=EPOCHS, batch_size=BATCH, checkpoint_every=checkpoint_every)
    return Experiment(name="bench", data=DATA, model=Model(family="cnn"), train=train)


def fitted(
    snapshot: Snapshot, scratch: Path, report: Reporter, checkpoint_every: int = NEVER
) -> FitOutcome:
    """Our fit of that experiment."""
    return fit(
        FitJob(
            snapshot=snapshot,
            experiment=experiment(checkpoint_every),
            family="cnn",
            parameters={},
            seed=SEED,
            epochs=EPOCHS,
            scratch=scratch,
        ),
        report,
    )


def in_turns(fits: Mapping[str, Callable[[], Seconds]], turns: int) -> dict[str, list[Seconds]]:
    """Seconds of several fits by their names.

    Args:
        fits: each makes one fit from its beginning.
        turns: of all of them, after one to warm up; each turn begins with another one, as what
            ran before leaves its traces in the caches.
    """
    names = list(fits)
    found: dict[str, list[Seconds]] = {name: [] for name in names}
    for turn in range(turns + 1):
        first = turn % len(names)
        for name in (*names[first:], *names[:first]):
            gc.collect()
            seconds = fits[name]()
            if turn:
                found[name].append(seconds)
    return found


def median_cpu(taken: list[Seconds]) -> float:
    """Median CPU time."""
    return statistics.median(one.cpu for one in taken)


def median_ratio(
    upper: list[Seconds], lower: list[Seconds], of: Callable[[Seconds], float]
) -> float:
    """Median over turns of what one took against the other in the same turn."""
    return statistics.median(of(a) / of(b) for a, b in zip(upper, lower, strict=True))
