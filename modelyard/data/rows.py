"""Rows as they stand in the source: columns with masks, a stack of images, or texts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelyard.data.texts import Texts

Cell = float | str | None


@dataclass(frozen=True, kw_only=True)
class Column:
    """The cells of one column.

    Args:
        values: (n,) float64 for numbers (0 where missing), or int32 indices into
            ``categories`` (-1 where missing).
        missing: (n,) bool.
        categories: the distinct texts of a category column, sorted; None for numbers.
        date: the numbers are days since 1970-01-01, UTC, written as ISO 8601.
    """

    values: NDArray[Any]
    missing: NDArray[np.bool_]
    categories: tuple[str, ...] | None = None
    date: bool = False

    def __len__(self) -> int:
        return len(self.values)

    def take(self, indices: NDArray[Any] | slice) -> Column:
        """The cells at ``indices``; of a slice, a view."""
        return Column(
            values=self.values[indices],
            missing=self.missing[indices],
            categories=self.categories,
            date=self.date,
        )

    def cells(self) -> list[Cell]:
        """The cells as JSON has them: a number, a text (an ISO date too), None where missing."""
        values = self.values.tolist()
        if self.categories is not None:
            texts = self.categories
            return [None if code < 0 else texts[code] for code in values]
        gone = self.missing.tolist()
        show = iso_date if self.date else float
        return [None if m else show(v) for v, m in zip(values, gone, strict=True)]


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Rows of a table (``columns``), a stack of images (``images``) or texts: one of the three.

    Args:
        columns: by name, each of the same length; {} for images and texts.
        images: (n, H, W, C) uint8 or float32; None for others.
        texts: one a row; None for others.
    """

    columns: dict[str, Column]
    images: NDArray[Any] | None = None
    texts: Texts | None = None

    @cached_property
    def _length(self) -> int:
        if self.images is not None:
            return len(self.images)
        if self.texts is not None:
            return len(self.texts)
        return len(next(iter(self.columns.values()))) if self.columns else 0

    def __len__(self) -> int:
        return self._length

    def take(self, indices: NDArray[Any] | slice) -> Rows:
        """The rows at ``indices``; of a slice, a view."""
        return Rows(
            columns={name: column.take(indices) for name, column in self.columns.items()},
            images=None if self.images is None else self.images[indices],
            texts=None if self.texts is None else self.texts.take(indices),
        )

    def column(self, name: str) -> Column:
        """One column of a table."""
        return self.columns[name]

    def records(self) -> list[dict[str, Cell]]:
        """One dict a row, as the rows stand in a CSV; for tables and texts."""
        if self.texts is not None:
            return [{self.texts.name: text} for text in self.texts]
        cells = [column.cells() for column in self.columns.values()]
        return [dict(zip(self.columns, row, strict=True)) for row in zip(*cells, strict=True)]


@dataclass(frozen=True, kw_only=True)
class Part:
    """Some rows of mapped files, each read when it is asked for and not kept.

    Args:
        source: views of the files.
        places: (n,) which of their rows, in order; None for all.
    """

    source: Rows
    places: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.source) if self.places is None else len(self.places)

    def take(self, indices: NDArray[Any] | slice) -> Rows:
        """The rows at ``indices`` of the part; only they are read."""
        return self.source.take(indices if self.places is None else self.places[indices])

    def column(self, name: str) -> Column:
        """One column of a table; no other is read."""
        whole = self.source.columns[name]
        return whole if self.places is None else whole.take(self.places)


def iso_date(days: float) -> str:
    """Days since 1970-01-01 as ISO 8601: a date, or with the time of day where there is one."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=days)
    if days == int(days):
        return moment.date().isoformat()
    return moment.replace(tzinfo=None).isoformat()
