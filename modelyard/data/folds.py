"""Folds of cross-validation over training and validation rows together; the test part stays out.

By row (the classes' shares kept in each, where the split keeps them), by group or by time, as the
split is. A repeat cuts them with the next seed; by time there is only one way to cut.
"""

from __future__ import annotations

import numpy as np

from modelyard.data.dataset import Dataset
from modelyard.data.partition import classes_of
from modelyard.data.split import (
    Folds,
    Indices,
    Parts,
    folds_by_group,
    folds_by_row,
    folds_by_time,
    learnt_in,
    repeat_seed,
)
from modelyard.data.table import listed
from modelyard.errors import DataError
from modelyard.experiment.model import Data

KEY = "data.folds"


def cut_folds(dataset: Dataset, data: Data, seed: int, parts: Parts) -> Folds | None:
    """The folds that an experiment asks for; None where it asks for one, which is no fold.

    Args:
        dataset: target, and the columns that decide the split.
        data: how many folds and repeats.
        seed: the experiment's; each repeat has its own from it.
        parts: of the split; the test rows are in no fold.

    Raises:
        DataError: a class has fewer rows than there are folds, there are too few groups, times or
            rows, or a fold would have no row of a class to learn from.
    """
    if data.folds == 1:
        return None
    rows = np.concatenate([parts.train, parts.validation])
    forward = dataset.grouping is not None and dataset.grouping.time is not None
    cuts = [
        _cut(dataset, data, rows, repeat_seed(seed, repeat))
        for repeat in range(1, data.repeats + 1)
    ]
    folds = Folds(numbers=np.stack(cuts), forward=forward)
    _refuse_unlearnt(dataset, classes_of(dataset)[rows], folds)
    return folds


def _cut(dataset: Dataset, data: Data, rows: Indices, seed: int) -> Indices:
    """(n,) the fold of each row, in one repeat."""
    classes = classes_of(dataset)[rows]
    strata = classes if data.split.stratify else np.zeros_like(classes)
    grouping = dataset.grouping
    if grouping is None:
        _refuse_small(dataset, data, rows, strata)
        return folds_by_row(strata, data.folds, seed)
    assert dataset.by is not None
    values = dataset.by.values[rows]
    if grouping.group is not None:
        distinct, groups = np.unique(values, return_inverse=True)
        if len(distinct) < data.folds:
            raise _too_many(dataset, data, f"column {grouping.group!r}", len(distinct), "group")
        _, kinds = np.unique(strata, return_inverse=True)
        return folds_by_group(groups, kinds.astype(np.int64), data.folds, seed)
    blocks = folds_by_time(values, data.folds)
    if blocks is None:
        times = len(np.unique(values))
        raise _too_many(dataset, data, f"column {grouping.time!r}", times, "time")
    return blocks


def _refuse_small(dataset: Dataset, data: Data, rows: Indices, strata: Indices) -> None:
    """Each fold is measured on a row at least, and on one of each class where it is stratified."""
    if len(rows) < data.folds:
        raise DataError(
            f"{dataset.table.title} has {len(rows)} rows for training and validation, fewer than "
            f"data.folds, {data.folds}",
            key=KEY,
            value=data.folds,
        )
    if not (dataset.card.classes and data.split.stratify):
        return
    counts = np.bincount(strata, minlength=len(dataset.card.classes))
    small = np.flatnonzero(counts < data.folds)
    if len(small):
        least = small[np.argmin(counts[small])]
        others = [dataset.card.classes[index] for index in small if index != least]
        raise DataError(
            f"{dataset.table.title}, target {dataset.card.target!r}: class "
            f"{dataset.card.classes[least]!r} has {counts[least]} rows for training and "
            f"validation, fewer than data.folds, {data.folds}"
            + (f" (so do {listed(others, 5)})" if others else "")
            + f"; write data.folds: {max(2, counts[least])} at most, add rows of it, or write "
            "data.split.stratify: false",
            key=KEY,
            value=data.folds,
        )


def _too_many(dataset: Dataset, data: Data, column: str, count: int, word: str) -> DataError:
    needed = data.folds if word == "group" else data.folds + 1
    why = (
        "no group is torn apart"
        if word == "group"
        else "the first block is only learnt from, and rows of one time stay together"
    )
    return DataError(
        f"{dataset.table.title}, {column} has {count} different values in training and validation; "
        f"data.folds: {data.folds} needs {needed} at least, as {why}",
        key=KEY,
        value=data.folds,
    )


def _refuse_unlearnt(dataset: Dataset, classes: Indices, folds: Folds) -> None:
    """A class without a row to learn from could never be predicted."""
    for repeat, numbers in enumerate(folds.numbers, start=1):
        for fold in range(1, int(numbers.max()) + 1):
            learnt = learnt_in(numbers, fold, forward=folds.forward)
            seen = np.bincount(classes[learnt], minlength=len(dataset.card.classes))
            if dataset.card.classes and not seen.all():
                name = dataset.card.classes[int(np.argmin(seen))]
                raise DataError(
                    f"{dataset.table.title}, target {dataset.card.target!r}: class {name!r} has "
                    f"no row to learn from in fold {fold} of repeat {repeat}: all are in "
                    + ("later blocks of time" if folds.forward else "the rows it is measured on")
                    + "; take fewer folds, or leave the class out",
                    key=KEY,
                    value=name,
                )
