"""Training, validation and test rows: seeded, the same on every platform and version.

The random order comes from the raw stream of PCG64, which NumPy keeps for good (NEP 19), and
shares are counted in whole numbers; scikit-learn's splitters promise neither, and split groups
into equal folds only.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]

SHARE_UNITS = 1_000_000
"""Shares are counted in millionths."""


class Parts(NamedTuple):
    """Row numbers of each part, ascending."""

    train: Indices
    validation: Indices
    test: Indices


def by_row(strata: Indices, shares: tuple[float, float, float], seed: int) -> Parts:
    """Each stratum in the same shares; the parts' sizes are exact.

    Args:
        strata: (n,) class of each row from 0; all 0 for none. A stratum with at least three
            rows has a row in each part.
        shares: of training, validation and test.
        seed: of the order.
    """
    counts = np.bincount(strata)
    totals = apportion(len(strata), _units(shares), np.ones(3, np.int64))
    test = apportion(int(totals[2]), counts, np.minimum(counts, 1), np.maximum(counts - 2, 0))
    rest = counts - test
    validation = apportion(int(totals[1]), rest, np.minimum(rest, 1), np.maximum(rest - 1, 0))
    place = _place_in_stratum(strata, seed)
    part = np.zeros(len(strata), dtype=np.int8)
    part[place < (test + validation)[strata]] = 1
    part[place < test[strata]] = 2
    return _parts(part)


def by_group(groups: Indices, strata: Indices, shares: tuple[float, ...], seed: int) -> Parts:
    """No group torn apart; sizes and strata as near to the shares as that allows.

    Largest group first, each goes where the squared distance of the strata's counts from what
    is wanted shrinks most: the greedy rule of scikit-learn's StratifiedGroupKFold, for parts
    of unequal size.

    Args:
        groups: (n,) group of each row from 0, at least as many as there are shares.
        strata: (n,) class of each row from 0, none of them empty; all 0 for none.
        shares: of training, validation and test, or of the first two.
        seed: decides between groups of one size.
    """
    counts = np.zeros((int(groups.max()) + 1, int(strata.max()) + 1))
    np.add.at(counts, (groups, strata), 1)
    totals = counts.sum(axis=0)
    want = np.outer(_units(shares) / SHARE_UNITS, totals)
    have = np.zeros_like(want)
    part_of = np.zeros(len(counts), dtype=np.int8)
    order = np.lexsort((_keys(len(counts), seed), -counts.sum(axis=1)))
    for done, group in enumerate(order):
        gain = (((have - want) ** 2 - (have + counts[group] - want) ** 2) / totals**2).sum(axis=1)
        empty = have.sum(axis=1) == 0
        if empty.sum() >= len(order) - done:
            gain[~empty] = -np.inf
        # Rounded, so that the last bits of a sum, which differ between CPUs, decide nothing.
        part = int(np.argmax(np.round(gain, 9)))
        part_of[group] = part
        have[part] += counts[group]
    return _parts(part_of[groups])


def by_time(times: NDArray[np.float64], shares: tuple[float, float, float]) -> Parts | None:
    """The earliest rows for training, the latest for test; rows of one time stay together.

    Args:
        times: (n,) anything that grows with time.
        shares: of training, validation and test.

    Returns:
        None where there are fewer than three different times.
    """
    order = np.argsort(times, kind="stable")
    changes = np.flatnonzero(np.diff(times[order])) + 1
    if len(changes) < 2:
        return None
    totals = apportion(len(times), _units(shares), np.ones(3, np.int64))
    first = changes[:-1][np.argmin(np.abs(changes[:-1] - totals[0]))]
    later = changes[changes > first]
    second = later[np.argmin(np.abs(later - totals[0] - totals[1]))]
    part = np.empty(len(times), dtype=np.int8)
    part[order] = np.repeat(np.arange(3), np.diff([0, first, second, len(times)]))
    return _parts(part)


def sample(rows: Indices, strata: Indices, share: float, seed: int) -> Indices:
    """A stratified share of some rows, ascending; of each stratum at least one.

    A smaller share under the same seed is part of a larger one.
    """
    units = int(_units((share,))[0])
    counts = np.bincount(strata[rows])
    total = max(1, round(len(rows) * units / SHARE_UNITS))
    keep = apportion(total, counts, np.minimum(counts, 1), counts)
    place = _place_in_stratum(strata[rows], seed)
    return rows[place < keep[strata[rows]]]


def apportion(
    total: int, weights: Indices, low: Indices, high: Indices | None = None
) -> NDArray[np.int64]:
    """Whole numbers in proportion to weights that add up to ``total``: largest remainders.

    Args:
        total: what to share out.
        weights: (k,) whole numbers, not all 0.
        low: (k,) least of each; where these add up to more than ``total``, so does the result.
        high: (k,) most of each, at least ``low`` and together at least ``total``.
    """
    weight = int(weights.sum())
    most = np.full(len(weights), total) if high is None else np.maximum(high, low)
    shares = np.clip(weights * total // weight, low, most)
    # How far each stays behind its exact share, in units of 1 / weight.
    while (short := total - int(shares.sum())) != 0:
        behind = weights * total - shares * weight
        free = np.flatnonzero(shares < most if short > 0 else shares > low)
        if len(free) == 0:
            break
        first = free[np.argsort(-behind[free] if short > 0 else behind[free], kind="stable")]
        shares[first[: abs(short)]] += 1 if short > 0 else -1
    return shares


def _units(shares: tuple[float, ...]) -> Indices:
    return np.array([round(share * SHARE_UNITS) for share in shares], dtype=np.int64)


def _keys(count: int, seed: int) -> NDArray[np.uint64]:
    return np.asarray(np.random.PCG64(seed).random_raw(count), dtype=np.uint64).reshape(count)


def _place_in_stratum(strata: Indices, seed: int) -> Indices:
    """A random place, from 0, of each row among the rows of its stratum."""
    order = np.lexsort((_keys(len(strata), seed), strata))
    starts = np.concatenate([[0], np.cumsum(np.bincount(strata))[:-1]])
    place = np.empty(len(strata), dtype=np.int64)
    place[order] = np.arange(len(strata)) - starts[strata[order]]
    return place


def _parts(part: NDArray[np.int8]) -> Parts:
    train, validation, test = (np.flatnonzero(part == i).astype(np.int64) for i in range(3))
    return Parts(train, validation, test)
