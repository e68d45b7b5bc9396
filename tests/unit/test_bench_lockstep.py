"""The measure of what parts cost: fits that take turns, and the share that one takes more."""

from __future__ import annotations

import numpy as np
import pytest

from bench import lockstep
from bench.lockstep import Lane, Taken, abreast, share


def taken(stretches: lockstep.Floats, beside: float = 0.0) -> Taken:
    """A fit's times with what other threads took in each turn."""
    return Taken(stretches=stretches, beside=np.full(len(stretches), beside))


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
