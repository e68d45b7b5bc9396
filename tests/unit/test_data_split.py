"""The split: exact shares, every row once, strata and groups respected, the same for ever."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.data.dataset import load
from modelyard.data.partition import partition
from modelyard.data.split import Parts, apportion, by_group, by_row, by_time, sample
from modelyard.errors import DataError
from modelyard.experiment.model import Data

SHARES = (0.7, 0.15, 0.15)

GOLDEN = ([3, 6, 12], [4, 11, 13])
"""Test and validation rows of twenty rows of two classes."""

shares = (
    st.tuples(st.integers(1, 90), st.integers(1, 90))
    .filter(lambda p: sum(p) < 100)
    .map(lambda p: ((100 - sum(p)) / 100, p[0] / 100, p[1] / 100))
)
class_counts = st.lists(st.integers(3, 60), min_size=1, max_size=6)
seeds = st.integers(0, 2**32 - 1)


def strata_of(counts: list[int]) -> Any:
    """Rows of these classes, one class after the other."""
    return np.repeat(np.arange(len(counts)), counts)


def assert_partition(parts: Parts, rows: int) -> None:
    """Every row is in exactly one part, ascending within it."""
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(rows))
    assert all((np.diff(part) > 0).all() for part in parts)


@settings(max_examples=40)
@given(class_counts, shares, seeds)
def test_rows(counts: list[int], shares: tuple[float, float, float], seed: int) -> None:
    """Each row is in one part; each class with three rows or more is in each part."""
    strata = strata_of(counts)
    parts = by_row(strata, shares, seed)
    assert_partition(parts, len(strata))
    for part in parts:
        assert (np.bincount(strata[part], minlength=len(counts)) > 0).all()


@settings(max_examples=40)
@given(class_counts, seeds)
def test_classes_keep_their_shares(counts: list[int], seed: int) -> None:
    """Sizes are exact, and a class's rows in a part are its share, rounded, where it may be."""
    strata = strata_of([count * 10 for count in counts])
    parts = by_row(strata, SHARES, seed)
    exact = apportion(len(strata), np.array([70, 15, 15]), np.ones(3, np.int64))
    assert [len(part) for part in parts] == exact.tolist()
    for part, share in zip(parts, SHARES, strict=True):
        found = np.bincount(strata[part])
        assert (np.abs(found - np.array(counts) * 10 * share) < 2).all()


def test_split_is_the_same_for_ever() -> None:
    """Seed 7 gives these rows, on every platform and with every version of NumPy."""
    parts = by_row(np.array([0, 1] * 10), SHARES, 7)
    assert parts.test.tolist() == GOLDEN[0]
    assert parts.validation.tolist() == GOLDEN[1]
    assert by_row(np.array([0, 1] * 10), SHARES, 8).test.tolist() != GOLDEN[0]


@settings(max_examples=40)
@given(st.lists(st.integers(1, 12), min_size=3, max_size=25), st.integers(1, 3), seeds)
def test_groups_stay_whole(sizes: list[int], classes: int, seed: int) -> None:
    """No group is in two parts, and no part is without a group."""
    groups = strata_of(sizes)
    strata = np.arange(len(groups)) % classes
    parts = by_group(groups, strata, SHARES, seed)
    assert_partition(parts, len(groups))
    found = [set(groups[part]) for part in parts]
    assert all(found)
    assert sum(map(len, found)) == len(sizes)


def test_groups_are_stratified() -> None:
    """With many small groups, sizes and classes come within two groups of their shares."""
    groups = np.repeat(np.arange(200), 5)
    strata = (np.arange(200) % 4 == 0).astype(np.int64)[groups]
    parts = by_group(groups, strata, SHARES, 7)
    for part, share in zip(parts, SHARES, strict=True):
        assert abs(len(part) - 1000 * share) <= 10
        assert abs(int(strata[part].sum()) - 250 * share) <= 10


@settings(max_examples=40)
@given(st.lists(st.integers(0, 20), min_size=3, max_size=80))
def test_time_runs_forward(times: list[int]) -> None:
    """All of training is before all of validation, and that before all of test."""
    values = np.array(times, dtype=np.float64)
    parts = by_time(values, SHARES)
    if len(set(times)) < 3:
        assert parts is None
        return
    assert parts is not None
    assert_partition(parts, len(times))
    assert values[parts.train].max() < values[parts.validation].min()
    assert values[parts.validation].max() < values[parts.test].min()


def test_time_shares() -> None:
    """With all times different the sizes are exact, whatever the order of the rows."""
    times = np.random.default_rng(0).permutation(100).astype(np.float64)
    parts = by_time(times, SHARES)
    assert parts is not None
    assert [len(part) for part in parts] == [70, 15, 15]


@settings(max_examples=40)
@given(class_counts, st.integers(1, 99), st.integers(1, 99), seeds)
def test_sample(counts: list[int], small: int, large: int, seed: int) -> None:
    """A sample keeps each class; the smaller of two shares is part of the larger."""
    small, large = sorted((small, large))
    strata = strata_of(counts)
    rows = np.arange(len(strata))
    some = sample(rows, strata, small / 100, seed)
    assert set(strata[some]) == set(strata)
    assert len(some) == max(len(counts), round(len(rows) * small / 100), 1)
    more = sample(rows, strata, large / 100, seed)
    assert set(strata[more]) == set(strata)
    assert len(some) <= len(more)


@settings(max_examples=40)
@given(st.integers(0, 500), st.lists(st.integers(0, 100), min_size=1, max_size=8).filter(any))
def test_apportion(total: int, weights: list[int]) -> None:
    """Shares add up to the total, each within one of its exact value."""
    weight = np.array(weights)
    found = apportion(total, weight, np.zeros(len(weights), np.int64))
    assert int(found.sum()) == total
    assert (np.abs(found - weight * total / weight.sum()) < 1).all()


def write(path: Path, rows: list[str]) -> Path:
    """A CSV of columns a, y, g, t."""
    path.write_text("\n".join(["a,y,g,t", *rows]))
    return path


def split_of(path: Path, **data: Any) -> Parts:
    """The split of a file as an experiment asks for it."""
    section = Data(source=path.name, target="y", **data)
    return partition(load(section, path.parent), section, 7)


def test_too_few_rows_of_a_class(tmp_path: Path) -> None:
    """A class with fewer than three rows is named with its lines."""
    rows = [f"{i},{'pq'[i % 2]},g,1" for i in range(10)]
    path = write(tmp_path / "a.csv", [*rows, "1,r,g,1", "2,r,g,1"])
    with pytest.raises(DataError) as caught:
        split_of(path)
    assert "class 'r' has too few rows for the split, 2 (lines 12, 13)" in str(caught.value)
    assert caught.value.key == "data.target"


def test_groups_and_times_of_a_file(tmp_path: Path) -> None:
    """Group and time columns decide the split and are not learnt from."""
    rows = [f"{i},{'pq'[i % 2]},g{i // 4},2024-01-{i + 1:02}" for i in range(24)]
    path = write(tmp_path / "a.csv", rows)
    parts = split_of(path, split={"by": {"time": "t"}})
    assert parts.test.tolist() == [21, 22, 23]
    section = Data(source="a.csv", target="y", split={"by": {"group": "g"}}, drop=("t",))
    dataset = load(section, tmp_path)
    assert [c.name for c in dataset.card.columns] == ["a"]
    assert dataset.card.ignored == ("g", "t")
    assert "Column 'g' decides the split and is not learnt from." in dataset.card.notes
    parts = partition(dataset, section, 7)
    assert_partition(parts, 24)
    assert [len({row // 4 for row in part}) * 4 for part in parts] == [len(p) for p in parts]


@pytest.mark.parametrize(
    ("rows", "by", "message"),
    [
        (["1,p,x,1", "2,q,y,2", "3,p,x,3"], {"group": "g"}, "has 2 different values"),
        (["1,p,x,1", "2,q,,2", "3,p,z,3"], {"group": "g"}, "no value in line 3"),
        (["1,p,x,1", "2,q,y,1", "3,p,z,3"], {"time": "t"}, "fewer than 3 different times"),
        (["1,p,x,may", "2,q,y,june", "3,p,z,july"], {"time": "t"}, "'may' in line 2"),
        (["1,p,x,1", "2,q,y,2", "3,p,z,3"], {"time": "when"}, "no column 'when'"),
        (["1,p,x,1", "2,p,y,2", "3,q,z,3"], {"time": "t"}, "class 'q' (line 4) has no row in"),
    ],
)
def test_unusable_splits(tmp_path: Path, rows: list[str], by: dict[str, str], message: str) -> None:
    """A split that the column can't give is refused with the column and the line."""
    path = write(tmp_path / "a.csv", rows)
    with pytest.raises(DataError) as caught:
        split_of(path, split={"by": by})
    assert message in str(caught.value)
