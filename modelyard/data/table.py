"""A source as it was read, before anything is decided about it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelyard.data.rows import Column
from modelyard.data.texts import Texts
from modelyard.errors import DataError
from modelyard.experiment.similar import nearest

SHOWN = 5
"""Rows that a message lists before it only counts them."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """All that a source holds.

    Args:
        title: what messages call it.
        columns: every column, or every array with one value a row.
        images: (n, H, W, C) uint8 or float32; None for others.
        texts: one a row; None for others.
        target: the column that the source itself names as its target.
        integers: columns whose numbers are stored as whole numbers.
        first_line: line of the first row where row and line go in step, None where not.
        names: what messages call the rows, such as their files; their numbers when None.
        parts: (n,) int8, the part that each row is published in, numbered as in ``Parts``; None
            where the source has no split of its own.
        groups: column whose equal values stay together in the split unless the file says
            otherwise.
        unlearnt: columns that are not learnt from though the file doesn't drop them.
        notes: what the reader noticed.
    """

    title: str
    columns: dict[str, Column]
    images: NDArray[Any] | None = None
    texts: Texts | None = None
    target: str | None = None
    integers: frozenset[str] = frozenset()
    first_line: int | None = None
    names: Sequence[str] | None = None
    parts: NDArray[np.int8] | None = None
    groups: str | None = None
    unlearnt: frozenset[str] = frozenset()
    notes: tuple[str, ...] = field(default=())

    @property
    def rows(self) -> int:
        """How many rows there are."""
        if self.images is not None:
            return len(self.images)
        if self.texts is not None:
            return len(self.texts)
        return len(next(iter(self.columns.values()))) if self.columns else 0

    def where(self, indices: NDArray[Any]) -> str:
        """Where rows stand: ``line 3``, ``rows 3, 5, 8 and 20 more``, or their files."""
        more = f" and {len(indices) - SHOWN} more" if len(indices) > SHOWN else ""
        if self.names is not None:
            return ", ".join(self.names[int(index)] for index in indices[:SHOWN]) + more
        first, word = (1, "row") if self.first_line is None else (self.first_line, "line")
        shown = ", ".join(str(int(index) + first) for index in indices[:SHOWN])
        return f"{word}{'s' if len(indices) != 1 else ''} {shown}{more}"

    def column(self, name: str, key: str) -> Column:
        """A column by name.

        Raises:
            DataError: there is none; says which is most like it.
        """
        if name in self.columns:
            return self.columns[name]
        near = nearest(name, self.columns)
        hint = f"did you mean {near!r}?" if near else "the first line must hold the names."
        raise DataError(
            f"{self.title} has no column {name!r}; {hint} Its columns: {listed(self.columns)}",
            key=key,
            value=name,
            valid=tuple(self.columns),
            nearest=near,
        )


def listed(names: Iterable[object], limit: int = 20) -> str:
    """Names for a message, the first few of many; what would steer a terminal is written out."""
    all_names = [str(name) for name in names]
    more = f" and {len(all_names) - limit} more" if len(all_names) > limit else ""
    shown = (name if name.isprintable() else repr(name)[1:-1] for name in all_names[:limit])
    return ", ".join(shown) + more


def flatten(images: NDArray[Any]) -> dict[str, Column]:
    """Images (n, H, W, C) as one column of numbers a pixel, named ``pixel_<row>_<column>``."""
    _, height, width, channels = images.shape
    return {
        f"pixel_{y}_{x}" + (f"_{c}" if channels > 1 else ""): Column(
            values=images[:, y, x, c].astype(np.float64), missing=np.zeros(len(images), dtype=bool)
        )
        for y in range(height)
        for x in range(width)
        for c in range(channels)
    }
