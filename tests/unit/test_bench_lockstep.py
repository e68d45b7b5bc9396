"""The measure of what parts cost: their calls, and fits that take turns and one that takes more."""

from __future__ import annotations

import pkgutil

import numpy as np
import pytest

from bench import calls, costs, lockstep
from bench.lockstep import Lane, Taken, abreast, share


def taken(stretches: lockstep.Floats, beside: float = 0.0, within: float = 0.0) -> Taken:
    """A fit's times with what other threads took in each turn, and the calls that were timed."""
    turns = len(stretches)
    return Taken(stretches=stretches, beside=np.full(turns, beside), within=np.full(turns, within))


def test_a_share_is_found_under_noise_that_is_larger_than_it() -> None:
    """A tenth of noise that neighbours share, three per cent that they don't, and now and then a
    pause: 2 % in a few stretches and 0.5 % in another thread come out within their bounds, and
    nothing comes out as nothing."""
    draw = np.random.default_rng(1)
    shape = (16, 201)
    base = 0.007 * draw.uniform(0.9, 1.1, shape)

    def noisy(more: float) -> lockstep.Floats:
        found = base * draw.normal(1, 0.03, shape) + 0.01 * (draw.random(shape) < 0.01)
        found[:, [100, 200]] += more / 2 * 0.007 * 200
        return found

    bare = taken(noisy(0.0))
    found = share(taken(noisy(0.02), 0.005 * 0.007 * 200), bare)
    assert found.low < 0.025 < found.high
    assert found.high - found.low < 0.006
    nothing = share(taken(noisy(0.0)), bare)
    assert nothing.low < 0 < nothing.high


def test_fits_take_turns_batch_by_batch_each_with_its_own_swaps() -> None:
    """One runs at a time, all have had a batch before any has the next, and what a name stands
    for is each one's own while it runs."""
    order: list[tuple[str, int]] = []

    def fit(name: str) -> lockstep.Fit:
        def run(lane: Lane) -> None:
            for batch in range(3):
                lane.batch()
                order.append((str(lockstep.SAMPLES), batch))
            lane.beside = len(name)

        return run

    names = ("a", "bb", "ccc")
    swaps = {name: {"bench.lockstep.SAMPLES": name} for name in names}
    found = abreast({name: (fit(name), swaps[name]) for name in names}, turns=2)
    assert lockstep.SAMPLES == 2000
    assert [batch for _, batch in order] == [0, 0, 0, 1, 1, 1, 2, 2, 2] * 3
    assert all({name for name, _ in order[at : at + 3]} == set(names) for at in range(0, 27, 3))
    assert {name: (t.stretches.shape, list(t.beside)) for name, t in found.items()} == {
        name: ((2, 4), [len(name)] * 2) for name in names
    }


def test_a_fit_that_fails_ends_the_measure_and_holds_nobody_up() -> None:
    """The others go on to their end, and the failure is raised."""
    ended = []

    def good(lane: Lane) -> None:
        for _ in range(5):
            lane.batch()
        ended.append(lane)

    def bad(lane: Lane) -> None:
        lane.batch()
        raise ValueError("spoilt")

    with pytest.raises(ValueError, match="spoilt"):
        abreast({"good": (good, {}), "bad": (bad, {})}, turns=1)
    assert len(ended) == 1


class Machine:
    """Its clock goes on by what is done, and by a second with each look."""

    def __init__(self) -> None:
        self.now = 0.0

    def thread_time(self) -> float:
        self.now += 1
        return self.now

    def work(self, seconds: float) -> None:
        self.now += seconds


def test_calls_within_calls_count_once_and_the_clock_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What a part's functions take is added up, one that fails too, and taken once."""
    machine = Machine()
    monkeypatch.setattr("bench.calls.time", machine)
    meter = calls.Meter()
    work = meter.timed(machine.work)

    @meter.timed
    def twice(seconds: float) -> None:
        work(seconds)
        work(seconds)

    @meter.timed
    def failing() -> None:
        work(3.0)
        raise ValueError("spoilt")

    twice(50.0)
    machine.work(1000.0)
    work(7.0)

    with pytest.raises(ValueError, match="spoilt"):
        failing()
    assert (meter.take(), meter.take()) == (110.0, 0.0)


def test_a_fit_says_what_it_took_in_the_calls_of_a_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of each turn alone, of what a name stands for where it is swapped; not another's."""
    machine = Machine()
    monkeypatch.setattr("bench.calls.time", machine)

    def draws(_values: lockstep.Floats) -> float:
        machine.work(5.0)
        return 0.0

    def fit(lane: Lane) -> None:
        for _ in range(3):
            lane.batch()
            lockstep.total(np.ones((2, 2)))

    name = "bench.lockstep.total"
    timed = {"timed": calls.metered(fit, {name: draws}, (name,)), "other": (fit, {name: draws})}
    found = abreast(timed, turns=2)
    assert {n: list(t.within) for n, t in found.items()} == {"timed": [15, 15], "other": [0, 0]}


def test_the_share_of_a_part_is_of_the_rest_of_the_same_fit() -> None:
    """Calls and threads, but for what the threads do anyway; the first stretch is no training."""
    stretches = np.array([[50.0, 60.0, 42.0]] * 3)
    with_part = taken(stretches, beside=3.0, within=2.0)
    assert calls.of_training(with_part) == 0.05
    assert calls.of_training(with_part, less=taken(stretches, beside=1.0)) == 0.04


def test_every_call_of_a_part_is_there_to_be_timed() -> None:
    """Names that went elsewhere would cost nothing."""
    names = [name for part in costs.PARTS.values() for name in part]
    assert all(callable(pkgutil.resolve_name(name)) for name in names)
    assert len(names) > 20


@pytest.mark.parametrize(
    ("found", "low", "met"), [(0.009, -0.01, True), (0.011, -0.01, False), (0.009, 0.011, False)]
)
def test_a_goal_is_met_unless_figure_or_lockstep_speaks_against_it(
    found: float, low: float, met: bool
) -> None:
    """The figure has to be under it, and the bounds mustn't lie above it."""
    share_ = lockstep.Share(value=low + 0.005, low=low, high=low + 0.01)
    assert costs.cost("live metrics", found, share_, "", 0.01).met is met
