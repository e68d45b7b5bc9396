"""Training, validation and test rows: seeded, the same on every platform and version.

The random order comes from the raw stream of PCG64, which NumPy keeps for good (NEP 19), and
shares are counted in whole numbers; scikit-learn's splitters promise neither, and split groups
into equal folds only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

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


@dataclass(frozen=True, kw_only=True)
class Folds:
    """Which fold each row is measured in.

    Args:
        numbers: (repeats, n) of training rows, then validation rows; from 1, and 0 for rows that
            no fold is measured on.
        forward: a fold learns from rows with smaller numbers only; else from all but its own.
    """

    numbers: Indices
    forward: bool


def learnt_in(numbers: Indices, fold: int, *, forward: bool) -> NDArray[np.bool_]:
    """(n,) which rows a fold learns from; see ``Folds``, of which ``numbers`` are one repeat."""
    return numbers < fold if forward else numbers != fold


def repeat_seed(seed: int, repeat: int) -> int:
    """The seed of a repeat (from 1): the first has the experiment's own, the next ones follow."""
    return (seed + repeat - 1) % 2**32


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

    See ``_allotted`` for the rule.

    Args:
        groups: (n,) group of each row from 0, at least as many as there are shares.
        strata: (n,) class of each row from 0, none of them empty; all 0 for none.
        shares: of training, validation and test, or of the first two.
        seed: decides between groups of one size.
    """
    return _parts(_allotted(groups, strata, shares, seed))


def folds_by_row(strata: Indices, folds: int, seed: int) -> Indices:
    """Folds whose sizes differ by one row at most, and so do each stratum's rows in them.

    Args:
        strata: (n,) class of each row from 0; all 0 for none.
        folds: how many.
        seed: of the order.

    Returns:
        (n,) fold of each row, from 1.
    """
    fold = np.empty(len(strata), dtype=np.int64)
    # Dealt out stratum by stratum, each going on where the one before ended.
    fold[_shuffled(strata, seed)] = np.arange(len(strata)) % folds + 1
    return fold


def folds_by_group(groups: Indices, strata: Indices, folds: int, seed: int) -> Indices:
    """Folds that tear no group apart, as even as that allows; see ``by_group``.

    Returns:
        (n,) fold of each row, from 1.
    """
    return _allotted(groups, strata, (1 / folds,) * folds, seed) + 1


def folds_by_time(times: NDArray[np.float64], folds: int) -> Indices | None:
    """Blocks of even size, one after the other in time; rows of one time stay together.

    Forward chaining: fold ``i`` is measured on block ``i`` and learnt from all blocks before,
    as scikit-learn's TimeSeriesSplit cuts it.

    Returns:
        (n,) block of each row, from 0, which no fold is measured on; None where there are fewer
        different times than blocks.
    """
    even = np.ones(folds + 1, np.int64)
    return _blocks(times, apportion(len(times), even, even))


def _allotted(groups: Indices, strata: Indices, shares: tuple[float, ...], seed: int) -> Indices:
    """(n,) the part of each row, from 0, where no group is torn apart.

    Largest group first, each goes where the squared distance of the strata's counts from what
    is wanted shrinks most: the greedy rule of scikit-learn's StratifiedGroupKFold, for parts
    of unequal size.
    """
    counts = np.zeros((int(groups.max()) + 1, int(strata.max()) + 1))
    np.add.at(counts, (groups, strata), 1)
    totals = counts.sum(axis=0)
    want = np.outer(_units(shares) / SHARE_UNITS, totals)
    have = np.zeros_like(want)
    part_of = np.zeros(len(counts), dtype=np.int64)
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
    return part_of[groups]


def by_time(times: NDArray[np.float64], shares: tuple[float, float, float]) -> Parts | None:
    """The earliest rows for training, the latest for test; rows of one time stay together.

    Args:
        times: (n,) anything that grows with time.
        shares: of training, validation and test.

    Returns:
        None where there are fewer than three different times.
    """
    part = _blocks(times, apportion(len(times), _units(shares), np.ones(3, np.int64)))
    return None if part is None else _parts(part)


def _blocks(times: NDArray[np.float64], sizes: Indices) -> Indices | None:
    """(n,) the block of each row, from 0, where blocks follow each other in time.

    Args:
        times: (n,) anything that grows with time.
        sizes: wanted rows of each block, first to last; each ends at the change of time that is
            nearest to what is wanted and leaves one for each block behind it.
    """
    order = np.argsort(times, kind="stable")
    changes = np.flatnonzero(np.diff(times[order])) + 1
    if len(changes) < len(sizes) - 1:
        return None
    ends: list[int] = []
    for index, wanted in enumerate(np.cumsum(sizes)[:-1]):
        free = changes[: len(changes) - (len(sizes) - 2 - index)]
        free = free[free > ends[-1]] if ends else free
        ends.append(int(free[np.argmin(np.abs(free - wanted))]))
    block = np.empty(len(times), dtype=np.int64)
    block[order] = np.repeat(np.arange(len(sizes)), np.diff([0, *ends, len(times)]))
    return block


def sample(rows: Indices, strata: Indices, share: float, seed: int) -> Indices:
    """A stratified share of some rows, ascending; of each stratum at least one.

    A smaller share under the same seed is part of a larger one.

    Args:
        rows: (n,) numbers of rows, ascending.
        strata: (all rows,) each row's stratum, from 0.
        share: of the rows, above 0 and at most 1.
        seed: of the draw within each stratum.
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
    order = _shuffled(strata, seed)
    starts = np.concatenate([[0], np.cumsum(np.bincount(strata))[:-1]])
    place = np.empty(len(strata), dtype=np.int64)
    place[order] = np.arange(len(strata)) - starts[strata[order]]
    return place


def _shuffled(strata: Indices, seed: int) -> NDArray[np.intp]:
    """(n,) rows, stratum by stratum, in a random order within each."""
    return np.lexsort((_keys(len(strata), seed), strata))


def _parts(part: NDArray[Any]) -> Parts:
    train, validation, test = (np.flatnonzero(part == i).astype(np.int64) for i in range(3))
    return Parts(train, validation, test)
