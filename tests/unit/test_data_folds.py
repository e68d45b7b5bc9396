"""Folds and samples: what each fit learns from and is measured on."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.data.describe import describe
from modelyard.data.prepare import prepare
from modelyard.data.snapshot import Snapshot, open_snapshot
from modelyard.data.split import folds_by_group, folds_by_row, folds_by_time
from modelyard.errors import DataError
from modelyard.experiment.model import Data
from modelyard.store.folder import FolderStore

GOLDEN = [3, 1, 1, 3, 2, 3, 1, 2, 2, 1]
"""Folds of ten rows of two classes under seed 7."""

counts = st.lists(st.integers(5, 40), min_size=1, max_size=5)
many = st.integers(2, 5)
seeds = st.integers(0, 2**32 - 1)


@settings(max_examples=40)
@given(counts, many, seeds)
def test_rows_are_dealt_out_evenly(sizes: list[int], folds: int, seed: int) -> None:
    """Sizes of folds differ by one row at most, and so do those of each class within them."""
    strata = np.repeat(np.arange(len(sizes)), sizes)
    found = folds_by_row(strata, folds, seed)
    for rows in (found, *(found[strata == each] for each in range(len(sizes)))):
        held = np.bincount(rows, minlength=folds + 1)
        assert held[0] == 0
        assert held[1:].max() - held[1:].min() <= 1


def test_folds_are_the_same_for_ever() -> None:
    """Seed 7 gives these folds, on every platform and with every version of NumPy."""
    strata = np.array([0, 1] * 5)
    assert folds_by_row(strata, 3, 7).tolist() == GOLDEN
    assert folds_by_row(strata, 3, 8).tolist() != GOLDEN


@settings(max_examples=40)
@given(st.lists(st.integers(1, 12), min_size=5, max_size=25), st.integers(1, 3), many, seeds)
def test_no_fold_tears_a_group(sizes: list[int], classes: int, folds: int, seed: int) -> None:
    """Each group is in one fold, and no fold is without a group."""
    groups = np.repeat(np.arange(len(sizes)), sizes)
    strata = np.unique(np.arange(len(groups)) % classes, return_inverse=True)[1]
    found = folds_by_group(groups, strata, folds, seed)
    assert set(found) == set(range(1, folds + 1))
    assert all(len(set(found[groups == group])) == 1 for group in range(len(sizes)))


@settings(max_examples=40)
@given(st.lists(st.integers(0, 20), min_size=3, max_size=80), many)
def test_time_folds_follow_each_other(times: list[int], folds: int) -> None:
    """Each block is after the one before, none is empty, and too few times are none at all."""
    values = np.array(times, dtype=np.float64)
    found = folds_by_time(values, folds)
    if len(set(times)) < folds + 1:
        assert found is None
        return
    assert found is not None
    blocks = [values[found == block] for block in range(folds + 1)]
    assert all(a.max() < b.min() for a, b in pairwise(blocks))


def written(path: Path, rows: int = 60) -> Path:
    """A CSV with a class, a group of three rows and a day for each row."""
    lines = [
        f"{i},{'pq'[i % 2]},g{i // 3},2024-{i % 12 + 1:02}-{i // 12 + 1:02}" for i in range(rows)
    ]
    path.write_text("\n".join(["a,y,g,t", *lines]))
    return path


def snapshot(folder: Path, **data: Any) -> Snapshot:
    """The snapshot of that CSV."""
    file = written(folder / "a.csv")
    section = Data(source=str(file), target="y", **data)
    base = (folder / "artifacts").as_uri()
    done = prepare(section, seed=7, base=folder, store=FolderStore(), store_base=base)
    return open_snapshot(FolderStore().fetch(done.uri))


def test_each_row_is_measured_once_and_never_learnt_from_there(tmp_path: Path) -> None:
    """Training and validation rows together are folded, the test part stays what it was, and
    another repeat cuts them otherwise."""
    whole = snapshot(tmp_path)
    found = snapshot(tmp_path, folds=4, repeats=2)
    pool = {*whole.source_rows("train"), *whole.source_rows("validation")}
    cuts = []
    for repeat in (1, 2):
        folds = [found.fold(repeat, fold) for fold in (1, 2, 3, 4)]
        for fold in folds:
            learnt, measured = (set(fold.source_rows(s)) for s in ("train", "validation"))
            assert learnt | measured == pool
            assert not learnt & measured
            assert np.array_equal(fold.source_rows("test"), whole.source_rows("test"))
            ages = [row["a"] for row in fold.rows("train").records()]
            assert ages == fold.source_rows("train").tolist()
            assert np.array_equal(fold.target("train"), fold.source_rows("train") % 2)
        measured_rows = np.concatenate([fold.source_rows("validation") for fold in folds])
        assert sorted(measured_rows) == sorted(pool)
        cuts.append(measured_rows.tolist())
    assert cuts[0] != cuts[1]
    assert len({found.digest, *(found.fold(r, f).digest for r in (1, 2) for f in (1, 2))}) == 5


def test_folds_by_group_and_by_time_of_a_file(tmp_path: Path) -> None:
    """A fold by group shares no group with what it learns from; one by time lies behind it, and
    the test part behind all."""
    by_group = snapshot(tmp_path, folds=3, drop=("t",), split={"by": {"group": "g"}})
    for fold in (1, 2, 3):
        one = by_group.fold(1, fold)
        assert not set(one.source_rows("train") // 3) & set(one.source_rows("validation") // 3)
    by_time = snapshot(tmp_path, folds=3, drop=("g",), split={"by": {"time": "t"}})

    def days(rows: Any) -> Any:
        return rows % 12 * 100 + rows // 12

    for fold in (1, 2, 3):
        one = by_time.fold(1, fold)
        assert days(one.source_rows("train")).max() < days(one.source_rows("validation")).min()
        assert days(one.source_rows("validation")).max() < days(one.source_rows("test")).min()
    assert len(by_time.fold(1, 3).rows("train")) > len(by_time.fold(1, 1).rows("train"))


def test_a_sample_is_what_is_learnt_from(tmp_path: Path) -> None:
    """It keeps the classes' shares, leaves what is measured on whole, and is nested."""
    whole = snapshot(tmp_path)
    half, tenth = whole.sampled(0.5, 7), whole.sampled(0.1, 7)
    assert np.bincount(half.target("train")).tolist() == [11, 10]
    assert set(tenth.source_rows("train")) < set(half.source_rows("train"))
    assert set(half.source_rows("train")) < set(whole.source_rows("train"))
    assert np.array_equal(half.source_rows("validation"), whole.source_rows("validation"))
    assert whole.sampled(1, 7) is whole
    fold = snapshot(tmp_path, folds=3).fold(1, 2)
    some = fold.sampled(0.5, 7)
    assert set(some.source_rows("train")) < set(fold.source_rows("train"))
    assert len(some.rows("train")) == 17
    assert np.array_equal(some.source_rows("validation"), fold.source_rows("validation"))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"folds": 30}, "class 'p' has 25 rows for training and validation, fewer than data.folds"),
        ({"folds": 60, "split": {"stratify": False}}, "has 51 rows for training and validation"),
        ({"folds": 18, "drop": ["t"], "split": {"by": {"group": "g"}}}, "has 17 different values"),
        (
            {"folds": 51, "drop": ["g"], "split": {"by": {"time": "t"}}},
            "data.folds: 51 needs 52 at least, as the first block is only learnt from",
        ),
    ],
)
def test_more_folds_than_the_data_has(tmp_path: Path, data: dict[str, Any], message: str) -> None:
    """What there is too little of is named, with how many there are, by the check already."""
    section = Data(source=str(written(tmp_path / "a.csv")), target="y", **data)
    with pytest.raises(DataError) as caught:
        describe(section, tmp_path, seed=7)
    assert message in str(caught.value)
    assert caught.value.key == "data.folds"


def test_a_class_that_only_the_future_has(tmp_path: Path) -> None:
    """A fold that would have to predict a class it never saw is refused by its number."""
    lines = [f"{i},{'p' if i < 20 else 'pq'[i % 2]},{i}" for i in range(60)]
    (tmp_path / "a.csv").write_text("\n".join(["a,y,t", *lines]))
    section = Data(source="a.csv", target="y", folds=5, split={"by": {"time": "t"}})
    with pytest.raises(DataError, match="class 'q' has no row to learn from in fold 1 of repeat 1"):
        describe(section, tmp_path)
