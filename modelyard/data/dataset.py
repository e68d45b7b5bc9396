"""A table with its meaning: what is learnt from, what is predicted, what decides the split."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from modelyard.data.card import ColumnCard, DataCard
from modelyard.data.notes import notes_on, notes_on_classes
from modelyard.data.rows import Column, Rows
from modelyard.data.source import read
from modelyard.data.table import Table, flatten
from modelyard.data.target import read_target
from modelyard.errors import DataError
from modelyard.experiment.model import Data


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Everything that the split and the snapshot are made from.

    Args:
        table: the source as it was read; messages about rows need it.
        card: what is known of it.
        rows: what is learnt from.
        target: (n,) int64 class index, or float64.
        by: the column of ``data.split.by``, None where rows are split freely.
    """

    table: Table
    card: DataCard
    rows: Rows
    target: NDArray[Any]
    by: Column | None


def load(data: Data, base: Path, file: Path | None = None) -> Dataset:
    """Read a source and find out what it is.

    Args:
        data: the experiment's data section.
        base: folder that a relative ``data.source`` starts from.
        file: what a far source holds; see ``source.fetched``.

    Raises:
        DataError: it can't be learnt from; names file, column and row.
    """
    table = read(data.source, base, file)
    kind = _kind(data, table)
    name = _target_name(data, table)
    target = read_target(table, name)
    by = _by(data, table)
    for i, dropped in enumerate(data.drop):
        table.column(dropped, f"data.drop.{i}")
    if kind == "table" and table.images is not None:
        table = _as_table(table)
    cards = _cards(table, kind, ignored={name, *data.drop, *_by_names(data), ""})
    class_counts = {
        name: int(np.count_nonzero(target.values == index))
        for index, name in enumerate(target.classes)
    }
    card = DataCard(
        kind=kind,
        task="classification" if target.classes else "regression",
        rows=table.rows,
        columns=tuple(cards.values()),
        target=name,
        classes=target.classes,
        class_counts=class_counts,
        shape=table.images.shape[1:] if table.images is not None else (),
        ignored=tuple(column for column in table.columns if column not in {name, *cards}),
        notes=(
            *table.notes,
            *target.notes,
            *notes_on_classes(name, class_counts),
            *_notes_on_ignored(data, table),
            *notes_on(table, cards),
        ),
    )
    rows = Rows(
        columns={column: _finite(table.columns[column]) for column in cards}, images=table.images
    )
    return Dataset(table=table, card=card, rows=rows, target=target.values, by=by)


def _kind(data: Data, table: Table) -> Literal["table", "image"]:
    if data.kind == "text":
        raise DataError(
            "data.kind text is not supported yet; table and image are",
            key="data.kind",
            value="text",
            valid=("table", "image"),
        )
    if data.kind == "image" and table.images is None:
        raise DataError(
            f"{table.title} holds a table, not images; images are arrays (n, H, W) or "
            "(n, H, W, C) of an NPZ file",
            key="data.kind",
            value="image",
            valid=("table",),
        )
    return data.kind or ("image" if table.images is not None else "table")


def _target_name(data: Data, table: Table) -> str:
    name = data.target or table.target
    if name is None:
        raise DataError(
            f"data.target is missing: name the column of {table.title} to predict",
            key="data.target",
            valid=tuple(table.columns),
        )
    if name in data.drop:
        raise DataError(
            f"column {name!r} is both data.target and in data.drop; it is never learnt from "
            "anyway: take it out of data.drop",
            key=f"data.drop.{data.drop.index(name)}",
            value=name,
        )
    return name


def _by_names(data: Data) -> tuple[str, ...]:
    by = data.split.by
    return () if by is None else tuple(name for name in (by.group, by.time) if name is not None)


def _by(data: Data, table: Table) -> Column | None:
    """The column that the split goes by: each row must have a value there."""
    for name in _by_names(data):
        word = "time" if data.split.by and data.split.by.time else "group"
        column = table.column(name, f"data.split.by.{word}")
        rows = np.flatnonzero(column.missing)
        if len(rows):
            raise DataError(
                f"{table.title}, column {name!r} has no value in {table.where(rows)}; "
                f"a split by {word} needs one in each row",
                key=f"data.split.by.{word}",
                value=name,
            )
        if word == "time" and column.categories is not None:
            texts, first = column.categories, int(column.values[0])
            raise DataError(
                f"{table.title}, column {name!r} can't be ordered by time: {texts[first]!r} in "
                f"{table.where(np.array([0]))}; cells must all be numbers, or all ISO dates "
                "such as 2024-03-31",
                key="data.split.by.time",
                value=name,
            )
        return column
    return None


def _as_table(table: Table) -> Table:
    assert table.images is not None
    return Table(
        title=table.title,
        columns={**flatten(table.images), **table.columns},
        target=table.target,
        notes=(*table.notes, "Images are taken as a table, a column for each pixel."),
    )


def _cards(table: Table, kind: str, ignored: set[str]) -> dict[str, ColumnCard]:
    if kind == "image":
        return {}
    cards = {
        name: _card(name, column) for name, column in table.columns.items() if name not in ignored
    }
    if not cards:
        raise DataError(
            f"{table.title} has no column left to learn from: it has only "
            f"{', '.join(repr(name) for name in table.columns)}",
            key="data.drop",
        )
    return cards


def _card(name: str, column: Column) -> ColumnCard:
    column = _finite(column)
    return ColumnCard(
        name=name,
        type="number" if column.categories is None else "category",
        missing=int(np.count_nonzero(column.missing)),
        unique=len(np.unique(column.values[~column.missing])),
        date=column.date,
    )


def _finite(column: Column) -> Column:
    """A column without infinite numbers: they become missing."""
    if column.categories is not None or np.isfinite(column.values).all():
        return column
    infinite = ~np.isfinite(column.values)
    return Column(
        values=np.where(infinite, 0.0, column.values),
        missing=column.missing | infinite,
        date=column.date,
    )


def _notes_on_ignored(data: Data, table: Table) -> list[str]:
    notes = []
    if "" in table.columns:
        notes.append("A column has no name, an index perhaps; it is not learnt from.")
    for name in _by_names(data):
        notes.append(f"Column {name!r} decides the split and is not learnt from.")
    return notes
