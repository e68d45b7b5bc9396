"""Fits side by side, a batch of each in turn: what one takes more than another, with its bounds.

Two whole fits one after the other differ by several per cent of CPU time, as what else the machine
does changes within seconds. So fits that are compared go on together, one stretch at a time: from
one batch to the next, an epoch's end included. Each is a thread, only one of them runs, in each
round in another order, and each stretch is timed on its thread's own CPU clock. A stretch takes
milliseconds, so whatever slows it down slows down the same stretch of its neighbours.

Every turn repeats the same work, so each stretch of a fit is known from all turns: the difference
to the same stretch of the other fit is averaged over the middle half of the turns, and these
means are added up. What threads beside the fit's own take, as one that posts, is added.

Where in memory a fit comes to lie makes it faster or slower by a per cent or two, as a whole. That
is drawn anew in each turn, with the order in which the fits begin, so the bounds contain it: after
12 turns they lay 0.7 to 1 points to either side, and a known 1.84 % came out as 1.88 %.

It counts CPU, not waiting. Python's collector rests meanwhile, as its pauses fall on whoever runs.
"""

from __future__ import annotations

import gc
import pkgutil
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch

Floats: TypeAlias = "np.ndarray[Any, np.dtype[np.float64]]"

SAMPLES, SURE = 2000, 0.95
"""Turns drawn again for the bounds of a share, and how sure these are."""

Fit: TypeAlias = "Callable[[Lane], None]"
"""Makes one fit, from its beginning, and calls ``Lane.batch`` before each batch."""


@dataclass(frozen=True, kw_only=True)
class Share:
    """What something takes as a share of a fit, with the bounds of its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2%} ({self.low:.2%} to {self.high:.2%})"


@dataclass(frozen=True, kw_only=True)
class Taken:
    """CPU seconds of a fit in several turns.

    Args:
        stretches: (turns, stretches) of its own thread.
        beside: (turns,) of others that work for it.
        within: (turns,) of its own thread in the calls that were timed, see ``bench.calls``.
    """

    stretches: Floats
    beside: Floats
    within: Floats


class Lane:
    """One fit's side of the lockstep; used in its thread.

    Args:
        baton: who holds it runs.
        number: of the fit.
        swaps: what some names stand for while this fit runs, by ``module.name``.
    """

    def __init__(self, baton: _Baton, number: int, swaps: Mapping[str, Any]) -> None:
        self._baton = baton
        self._number = number
        self._swaps = [
            (pkgutil.resolve_name(where), name, value)
            for (where, _, name), value in ((k.rpartition("."), v) for k, v in swaps.items())
        ]
        self._usual = [getattr(where, name) for where, name, _ in self._swaps]
        self._began = 0.0
        self.stretches: list[float] = []
        self.beside = 0.0
        """CPU seconds of other threads that work for this fit; set by the fit."""
        self.within = 0.0
        """CPU seconds of this thread in the calls that are timed; set by the fit."""

    def batch(self) -> None:
        """A stretch ends and, when it is this fit's turn again, another one begins."""
        self._end()
        self._baton.hand_on(self._number)
        self._begin()

    @contextmanager
    def running(self) -> Iterator[None]:
        """From the first stretch to the last."""
        torch.set_num_threads(1)  # each thread has a number of its own
        self._begin()
        try:
            yield
        finally:
            self._end()
            self._baton.leave(self._number)

    def _begin(self) -> None:
        self._baton.wait(self._number)
        for where, name, value in self._swaps:
            setattr(where, name, value)
        self._began = time.thread_time()

    def _end(self) -> None:
        self.stretches.append(time.thread_time() - self._began)
        for (where, name, _), usual in zip(self._swaps, self._usual, strict=True):
            setattr(where, name, usual)


class _Baton:
    """Goes around among those that run, in each round in an order drawn anew."""

    def __init__(self, count: int, draw: random.Random) -> None:
        self._draw = draw
        self._running = set(range(count))
        self._round: list[int] = []
        self._mine = [threading.Semaphore(0) for _ in range(count)]
        self._next()

    def wait(self, number: int) -> None:
        self._mine[number].acquire()

    def hand_on(self, number: int) -> None:
        assert number in self._running
        self._next()

    def leave(self, number: int) -> None:
        self._running.discard(number)
        self._next()

    def _next(self) -> None:
        if not self._round:
            self._round = self._draw.sample(sorted(self._running), len(self._running))
        if self._round:
            self._mine[self._round.pop()].release()


def abreast(
    fits: Mapping[str, tuple[Fit, Mapping[str, Any]]], turns: int, seed: int = 0
) -> dict[str, Taken]:
    """CPU seconds of several fits by their names.

    Args:
        fits: each with what some names stand for meanwhile, see ``Lane``.
        turns: in which all of them are made, after one to warm up.
        seed: of the order in the rounds.
    """
    draw = random.Random(seed)
    found = [_turn(fits, draw) for _ in range(turns + 1)][1:]
    return {
        name: Taken(
            stretches=np.array([lanes[number].stretches for lanes in found]),
            beside=np.array([lanes[number].beside for lanes in found]),
            within=np.array([lanes[number].within for lanes in found]),
        )
        for number, name in enumerate(fits)
    }


def _turn(fits: Mapping[str, tuple[Fit, Mapping[str, Any]]], draw: random.Random) -> list[Lane]:
    baton = _Baton(len(fits), draw)
    lanes = [Lane(baton, n, swaps) for n, (_, swaps) in enumerate(fits.values())]

    def run(fit: Fit, lane: Lane) -> None:
        with lane.running():
            fit(lane)

    gc.collect()
    gc.disable()
    try:
        with ThreadPoolExecutor(len(fits)) as threads:
            # In another order each time: what a thread's place in memory does to it is noise then.
            work = list(zip(fits.values(), lanes, strict=True))
            jobs = [
                threads.submit(run, fit, lane) for (fit, _), lane in draw.sample(work, len(work))
            ]
        for job in jobs:
            job.result()
    finally:
        gc.enable()
    return lanes


def share(upper: Taken, lower: Taken) -> Share:
    """What one fit takes more than another, as a share of the other's training, from its first
    batch to its end. Both are of the same turns."""
    more = upper.stretches - lower.stretches
    beside = upper.beside - lower.beside
    of = lower.stretches[:, 1:]
    drawn = np.random.default_rng(0).integers(len(of), size=(SAMPLES, len(of)))

    def over(turns: Any) -> float:
        return (total(more[turns]) + float(beside[turns].mean())) / total(of[turns])

    low, high = np.quantile([over(turns) for turns in drawn], [(1 - SURE) / 2, (1 + SURE) / 2])
    return Share(value=over(slice(None)), low=float(low), high=float(high))


def total(stretches: Floats) -> float:
    """Sum over stretches of each one's mean over the middle half of the turns.

    Args:
        stretches: (turns, stretches).
    """
    cut = len(stretches) // 4
    middle = np.sort(stretches, axis=0)[cut : len(stretches) - cut]
    return float(middle.mean(axis=0).sum())
