"""The split that an experiment asks for, and whether its data can be split so."""

from __future__ import annotations

import numpy as np

from modelyard.data.dataset import Dataset
from modelyard.data.split import Indices, Parts, by_group, by_row, by_time, sample
from modelyard.data.table import listed
from modelyard.errors import DataError
from modelyard.experiment.model import Data

LEAST = 3
"""Rows of a class, groups or times: one for each part."""


def partition(dataset: Dataset, data: Data, seed: int) -> Parts:
    """Rows of the training, validation and test part.

    A test part that the source itself publishes stays what it is, so that figures can be
    compared with those of others; validation rows are then taken from its training part.

    Raises:
        DataError: a class has too few rows, or there are too few groups or times.
    """
    split = data.split
    shares = (split.train, split.validation, split.test)
    classes = classes_of(dataset)
    strata = classes if split.stratify else np.zeros_like(classes)
    if dataset.card.rows < LEAST:
        raise DataError(
            f"{dataset.table.title} has {dataset.card.rows} rows; training, validation and test "
            f"need {LEAST} at least"
        )
    if dataset.table.parts is not None:
        parts = _published(dataset, data, strata, seed)
    elif dataset.grouping is None:
        _refuse_small_classes(dataset)
        parts = by_row(strata, shares, seed)
    elif dataset.grouping.group is not None:
        groups = _groups(dataset, dataset.grouping.group, np.arange(dataset.card.rows), LEAST)
        parts = by_group(groups, strata, shares, seed)
    else:
        parts = _by_time(dataset, str(dataset.grouping.time), shares)
    _refuse_unlearnt(dataset, classes, parts)
    return parts


def _published(dataset: Dataset, data: Data, strata: Indices, seed: int) -> Parts:
    """The source's own test part, and validation rows where it has none of its own."""
    table, split = dataset.table, data.split
    assert table.parts is not None
    train, validation, test = (np.flatnonzero(table.parts == part) for part in range(3))
    for name, rows in (("training", train), ("test", test)):
        if not len(rows):
            raise DataError(
                f"{table.title} comes with parts of its own, and its {name} part is empty"
            )
    if len(validation):
        return Parts(train, validation, test)
    if dataset.grouping is not None and dataset.grouping.time is not None:
        raise DataError(
            f"{table.title} comes with a test part of its own, so it can't be split by time; "
            "leave data.split.by out",
            key="data.split.by.time",
            value=dataset.grouping.time,
        )
    share = split.validation / (split.train + split.validation)
    if dataset.grouping is not None:
        groups = _groups(dataset, str(dataset.grouping.group), train, 2)
        _, kinds = np.unique(strata[train], return_inverse=True)
        parts = by_group(groups, kinds.astype(np.int64), (1 - share, share), seed)
        return Parts(train[parts.train], train[parts.validation], test)
    _refuse_single(dataset, train)
    validation = sample(train, strata, share, seed)
    return Parts(np.setdiff1d(train, validation), validation, test)


def _refuse_single(dataset: Dataset, train: Indices) -> None:
    """A class needs a row to learn from and one to validate on."""
    card = dataset.card
    if not card.classes:
        return
    counts = np.bincount(dataset.target[train], minlength=len(card.classes))
    single = np.flatnonzero(counts == 1)
    if len(single):
        rows = train[dataset.target[train] == single[0]]
        raise DataError(
            f"{dataset.table.title}, target {card.target!r}: class {card.classes[single[0]]!r} has "
            f"one row in the training part ({dataset.table.where(rows)}); it needs 2, one of them "
            "for validation. Add rows of it, or leave it out",
            key="data.target",
            value=card.classes[single[0]],
        )


def classes_of(dataset: Dataset) -> Indices:
    """(n,) class of each row; all 0 for a regression."""
    if dataset.card.classes:
        return np.asarray(dataset.target, dtype=np.int64)
    return np.zeros(dataset.card.rows, dtype=np.int64)


def _refuse_small_classes(dataset: Dataset) -> None:
    card = dataset.card
    small = [name for name, count in card.class_counts.items() if count < LEAST]
    if not small:
        return
    name = small[0]
    rows = np.flatnonzero(dataset.target == card.classes.index(name))
    others = f" (so do {listed(small[1:], 5)})" if small[1:] else ""
    raise DataError(
        f"{dataset.table.title}, target {card.target!r}: class {name!r} has too few rows for the "
        f"split, {len(rows)} ({dataset.table.where(rows)}){others}; each class needs {LEAST}, one "
        "for each of training, validation and test. Add rows of it, or leave it out",
        key="data.target",
        value=name,
    )


def _groups(dataset: Dataset, name: str, rows: Indices, least: int) -> Indices:
    """Group of each of some rows, from 0."""
    assert dataset.by is not None
    distinct, groups = np.unique(dataset.by.values[rows], return_inverse=True)
    if len(distinct) < least:
        raise DataError(
            f"{dataset.table.title}, column {name!r} has {len(distinct)} different values; a "
            f"split by group needs {least} at least, as no group is torn apart",
            key="data.split.by.group",
            value=name,
        )
    return groups.astype(np.int64)


def _by_time(dataset: Dataset, name: str, shares: tuple[float, float, float]) -> Parts:
    assert dataset.by is not None
    parts = by_time(dataset.by.values, shares)
    if parts is None:
        raise DataError(
            f"{dataset.table.title}, column {name!r} has fewer than {LEAST} different times; a "
            f"split by time needs {LEAST} at least, as rows of one time stay together",
            key="data.split.by.time",
            value=name,
        )
    return parts


def _refuse_unlearnt(dataset: Dataset, classes: Indices, parts: Parts) -> None:
    """A class without a training row could never be predicted."""
    seen = np.bincount(classes[parts.train], minlength=len(dataset.card.classes))
    unlearnt = [name for name, n in zip(dataset.card.classes, seen, strict=False) if n == 0]
    if unlearnt:
        rows = np.flatnonzero(classes == dataset.card.classes.index(unlearnt[0]))
        raise DataError(
            f"{dataset.table.title}, target {dataset.card.target!r}: class {unlearnt[0]!r} "
            f"({dataset.table.where(rows)}) has no row in the training part of this split; "
            "split by row, or leave the class out",
            key="data.split.by" if dataset.by is not None else "data.split",
            value=unlearnt[0],
        )
