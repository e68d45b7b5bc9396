"""What a part of a fit takes within its own calls, beside what it takes more in ``bench.lockstep``.

Every call of a part is timed on the CPU clock of the thread that makes it: what it does with each
batch, once an epoch, once a fit. With the threads that work for it, that is set against the rest of
the same fit's training, so whatever makes a fit faster or slower as a whole makes no difference.
What a part costs outside of its calls isn't seen, as when it drives a network's weights out of a
cache: a fit with the part and one without, in lockstep, show it where it is larger than their
bounds.

Nothing of the product knows of it: names are made to stand for timed functions while a fit runs,
see ``bench.lockstep.Lane``. Of each call the time of reading the clock is taken off, by reading it
twice before: a microsecond in a loop, but several between two batches, when nothing of it is left
in the caches.
"""

from __future__ import annotations

import functools
import pkgutil
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from bench.lockstep import Fit, Lane, Taken


class Meter:
    """Adds up CPU time of calls; calls within calls count once. One thread's at a time."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._within = False

    def timed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """The same function or class, on the clock."""

        def on_the_clock(*args: Any, **options: Any) -> Any:
            if self._within:
                return call(*args, **options)
            self._within = True
            first, began = time.thread_time(), time.thread_time()
            try:
                return call(*args, **options)
            finally:
                self._seconds += time.thread_time() - began - (began - first)
                self._within = False

        return functools.wraps(call)(on_the_clock)

    def take(self) -> float:
        """Seconds since they were last taken."""
        seconds, self._seconds = self._seconds, 0.0
        return seconds


def metered(
    fit: Fit, swaps: Mapping[str, Any], part: tuple[str, ...]
) -> tuple[Fit, Mapping[str, Any]]:
    """A fit that says what it took within the calls of a part.

    Args:
        fit: to be made.
        swaps: what some names stand for meanwhile, see ``bench.lockstep.Lane``.
        part: functions, methods and classes, by ``module.name``; of a swapped one what stands for
            it is timed.
    """
    meter = Meter()
    usual = {name: swaps.get(name) or pkgutil.resolve_name(name) for name in part}

    def run(lane: Lane) -> None:
        meter.take()
        fit(lane)
        lane.within = meter.take()

    return run, {**swaps, **{name: meter.timed(call) for name, call in usual.items()}}


def of_training(taken: Taken, less: Taken | None = None) -> float:
    """What a part takes in its calls and threads, as a share of the rest of the same fit's
    training, from its first batch to its end; median of the turns.

    Args:
        taken: of a fit with the part, its calls timed.
        less: of a fit whose threads do the same, but for the part.
    """
    others = 0.0 if less is None else float(np.median(less.beside))
    part = taken.within + taken.beside - others
    return float(np.median(part / (taken.stretches[:, 1:].sum(axis=1) - taken.within)))


_OBSERVED = "modelyard.train.observers.observed"
_ACTIVATIONS = "modelyard.train.observers.activations"
_HISTOGRAMS = "modelyard.train.observers.histograms.WeightHistograms"

HOOKS = (
    *(
        f"modelyard.train.hooks.Hooks.{name}"
        for name in ("start", "batch", "epoch", "end", "state")
    ),
    "modelyard.train.stepping.BatchView",
)
"""All that calls hooks; a fit without any calls the rest of it for next to nothing."""

SCORES = (*HOOKS, "modelyard.train.fit.Observers", f"{_OBSERVED}.Observers.result")
"""Of a fit that is only scored."""

NUMBERS = (
    *(f"{_HISTOGRAMS}.{name}" for name in ("start", "epoch", "state", "result")),
    f"{_ACTIVATIONS}._Maps.of",
    f"{_ACTIVATIONS}.ActivationSample._keep_maps",
    f"{_OBSERVED}.confusion",
    f"{_OBSERVED}.reliability",
    "bench.part_fits.stored",
)
"""What is kept beside what the scores are made of."""

TELLING = (
    *(f"modelyard.trial.reporter.LaunchReporter.{n}" for n in ("phase", "metrics", "should_stop")),
    "modelyard.train.training.Beat",
    "modelyard.train.beat.Beat.is_due",
    "modelyard.train.training.Training._tell",
    "modelyard.train.training.Training._gradient_norm",
    "modelyard.train.stepping.Stepping._bound_gradient",
    "bench.part_fits.CountedIntake",
    "bench.part_fits.posting",
    "bench.part_fits.finish",
)
"""Reporter, heartbeat, the gradient's norm, and what is made and ended for them; nothing is clipped
in these fits."""

SAVING = ("modelyard.train.saving.Saving.after",)
"""Gathering a checkpoint, writing and storing it, and handing over the news of it."""
