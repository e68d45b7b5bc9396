"""What is to be predicted: classes or numbers, and whether it can be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelyard.data.columns import PLAIN, odd_number, strays
from modelyard.data.rows import Column
from modelyard.data.table import Table, listed
from modelyard.data.values import plain
from modelyard.errors import DataError

MOST_CLASSES = 20
"""Whole numbers with at most so many distinct values are classes, with more they are numbers."""

LARGEST = 1e150
"""Size of a target up to which the squares of errors, and their sums, are finite."""

KEY = "data.target"


@dataclass(frozen=True, kw_only=True)
class Target:
    """The column to predict, as a model is fitted to it.

    Args:
        values: (n,) int64 index into ``classes``, or float64.
        classes: names of the classes; () for regression.
        notes: why it is taken as it is, where that is a choice.
    """

    values: NDArray[Any]
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def read_target(table: Table, name: str) -> Target:
    """Classes or numbers of the target column.

    Classes are categories, booleans, and whole numbers with at most ``MOST_CLASSES`` distinct
    values; of images also any numbers that are stored as whole ones.

    Raises:
        DataError: a row has no value or an infinite one, all are equal, it holds dates, or
            numbers with text among them.
    """
    column = table.column(name, KEY)
    _refuse_gaps(table, name, column)
    if column.categories is not None:
        return _categories(table, name, column)
    if column.date:
        raise DataError(
            f"{table.title}, target {name!r} holds dates, which can't be predicted; "
            "make numbers of them, such as days until",
            key=KEY,
            value=name,
        )
    distinct = np.unique(column.values)
    if len(distinct) == 1:
        raise DataError(
            f"{table.title}, target {name!r} is {plain(distinct[0])} in every row; "
            "there is nothing to learn",
            key=KEY,
            value=name,
        )
    return _numbers(table, name, column, distinct)


def _refuse_gaps(table: Table, name: str, column: Column) -> None:
    problems = [(np.flatnonzero(column.missing), "has no value")]
    if column.categories is None:
        too_large = np.abs(column.values) > LARGEST
        problems.append((np.flatnonzero(too_large), f"is infinite or beyond {LARGEST:g}"))
    for rows, problem in problems:
        if len(rows):
            raise DataError(
                f"{table.title}, target {name!r} {problem} in {len(rows)} of {table.rows} rows: "
                f"{table.where(rows)}; fill them in or leave these rows out",
                key=KEY,
                value=name,
            )


def _categories(table: Table, name: str, column: Column) -> Target:
    assert column.categories is not None
    # Folders are named after classes, whatever the names look like.
    folders = table.names is not None and name == table.target
    stray = "" if folders else _stray(table, name, column)
    counts = np.bincount(column.values, minlength=len(column.categories))
    present = np.flatnonzero(counts)
    classes = tuple(column.categories[index] for index in present)
    if len(classes) == 1:
        raise DataError(
            f"{table.title}, target {name!r} has only one class: {classes[0]!r} in every row; "
            "there is nothing to learn",
            key=KEY,
            value=name,
        )
    if len(classes) == table.rows:
        raise DataError(
            f"{table.title}, target {name!r} has another text in every row "
            f"({listed(classes, 3)}); name the column to predict",
            key=KEY,
            value=name,
        )
    return Target(
        values=np.searchsorted(present, column.values).astype(np.int64),
        classes=classes,
        notes=(
            *([f"Target {name!r} {stray}. Both are taken as classes."] if stray else []),
            *_alike(name, classes),
        ),
    )


def _stray(table: Table, name: str, column: Column) -> str:
    """What keeps most cells of a target from being numbers, "" where nothing does.

    Raises:
        DataError: there are more of them than classes that one would name by numbers.
    """
    assert column.categories is not None
    many = len(column.categories) > MOST_CLASSES
    odd, rows, said = odd_number(column), strays(column), ""
    if odd and (many or "," in odd):
        said = f"has numbers written such as {odd!r}. {PLAIN}"
    elif len(rows):
        text = column.categories[column.values[rows[0]]]
        said = f"holds text among its numbers: {text!r} in {table.where(rows)}"
    if said and (many or odd):
        raise DataError(f"{table.title}, target {name!r} {said}", key=KEY, value=name)
    return said


def _alike(name: str, classes: tuple[str, ...]) -> Iterator[str]:
    """A sentence on classes that may be one, written in several ways."""
    spelt: dict[str, list[str]] = {}
    for text in classes:
        spelt.setdefault(text.casefold(), []).append(text)
    alike = [" and ".join(texts) for texts in spelt.values() if len(texts) > 1]
    if alike:
        yield (
            f"Classes of {name!r} differ in capital letters only: {listed(alike, 5)}. Write them "
            "alike if they are the same."
        )


def _numbers(table: Table, name: str, column: Column, distinct: NDArray[np.float64]) -> Target:
    whole = bool((distinct == np.rint(distinct)).all())
    labels = table.images is not None and name in table.integers
    if not whole:
        return Target(values=np.array(column.values, dtype=np.float64))
    if len(distinct) <= MOST_CLASSES or labels:
        rule = "labels of images are" if labels else f"up to {MOST_CLASSES} are"
        return Target(
            values=np.searchsorted(distinct, column.values).astype(np.int64),
            classes=tuple(plain(value) for value in distinct),
            notes=(
                f"Target {name!r} holds {len(distinct)} different whole numbers: taken as classes "
                f"({rule}). In a unit where some are not whole, they are predicted as numbers.",
            ),
        )
    return Target(
        values=np.array(column.values, dtype=np.float64),
        notes=(
            f"Target {name!r} holds {len(distinct)} different whole numbers, more than "
            f"{MOST_CLASSES}: taken as numbers (regression). Write them as text to have classes.",
        ),
    )
