"""A table with its meaning: what is learnt from, what is predicted, what decides the split."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelyard.data.card import ColumnCard, DataCard, Kind
from modelyard.data.notes import notes_on, notes_on_classes, notes_on_texts
from modelyard.data.rows import Column, Rows
from modelyard.data.source import read
from modelyard.data.table import Table, flatten, listed
from modelyard.data.target import Target, read_target
from modelyard.data.texts import Texts
from modelyard.data.tokens import usual_length
from modelyard.errors import DataError
from modelyard.experiment.model import By, Data


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Everything that the split and the snapshot are made from.

    Args:
        table: the source as it was read; messages about rows need it.
        card: what is known of it.
        rows: what is learnt from.
        target: (n,) int64 class index, or float64.
        grouping: what must not be torn apart, as the file says or else as the source does; None
            where rows are split freely.
        by: the column of that.
    """

    table: Table
    card: DataCard
    rows: Rows
    target: NDArray[Any]
    grouping: By | None
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
    grouping = data.split.by or (By(group=table.groups) if table.groups else None)
    by = _by(grouping, table)
    for i, dropped in enumerate(data.drop):
        table.column(dropped, f"data.drop.{i}")
    if kind == "table" and table.images is not None:
        table = _as_table(table)
    ignored = {name, *data.drop, *_names(grouping), *table.unlearnt, ""}
    if kind == "text" and table.texts is None:
        table = _as_texts(table, ignored)
    cards = _cards(table, kind, ignored)
    card = _data_card(data, table, kind, cards, name, target)
    columns = cards if kind == "table" else ()
    rows = Rows(
        columns={column: _finite(table.columns[column]) for column in columns},
        images=table.images,
        texts=table.texts,
    )
    return Dataset(
        table=table, card=card, rows=rows, target=target.values, grouping=grouping, by=by
    )


def _data_card(
    data: Data,
    table: Table,
    kind: Kind,
    cards: dict[str, ColumnCard],
    name: str,
    target: Target,
) -> DataCard:
    learnt = {name, *cards}
    numbers = np.bincount(target.values).tolist() if target.classes else []
    counts = dict(zip(target.classes, numbers, strict=True))
    return DataCard(
        kind=kind,
        task="classification" if target.classes else "regression",
        rows=table.rows,
        columns=tuple(cards.values()),
        target=name,
        classes=target.classes,
        class_counts=counts,
        shape=table.images.shape[1:] if table.images is not None else (),
        length=0 if table.texts is None else usual_length(table.texts),
        ignored=tuple(column for column in table.columns if column not in learnt),
        notes=(
            *table.notes,
            *target.notes,
            *notes_on_classes(name, counts),
            *_notes_on_ignored(data, table),
            *notes_on(table, cards if kind == "table" else {}),
            *notes_on_texts(table),
        ),
    )


def _kind(data: Data, table: Table) -> Kind:
    found: Kind = (
        "image" if table.images is not None else "text" if table.texts is not None else "table"
    )
    # Pixels can be taken as columns, and one column of a table as texts.
    fitting = {"image": ("image", "table"), "text": ("text",), "table": ("table", "text")}[found]
    if data.kind is not None and data.kind not in fitting:
        holds = {"image": "images", "text": "texts", "table": "a table"}
        raise DataError(
            f"{table.title} holds {holds[found]}, not {holds[data.kind]}; images are a folder with "
            "a folder for each class, or an array (n, H, W) or (n, H, W, C) of an NPZ file",
            key="data.kind",
            value=data.kind,
            valid=fitting,
        )
    return data.kind or found


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


def _names(by: By | None) -> tuple[str, ...]:
    return () if by is None else tuple(name for name in (by.group, by.time) if name is not None)


def _by(by: By | None, table: Table) -> Column | None:
    """The column that the split goes by: each row must have a value there."""
    for name in _names(by):
        word = "time" if by and by.time else "group"
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
    return replace(
        table,
        columns={**flatten(table.images), **table.columns},
        images=None,
        notes=(*table.notes, "Images are taken as a table, a column for each pixel."),
    )


def _as_texts(table: Table, ignored: set[str]) -> Table:
    """A table whose one column that is left holds texts."""
    names = [name for name in table.columns if name not in ignored]
    if len(names) != 1:
        raise DataError(
            f"{table.title} has {len(names)} columns to learn from ({listed(names) or 'none'}); "
            "data.kind text takes one column of texts: drop the others",
            key="data.drop",
            valid=tuple(names),
        )
    column = table.columns[names[0]]
    if column.categories is None:
        raise DataError(
            f"{table.title}, column {names[0]!r} holds numbers, not texts; leave data.kind out",
            key="data.kind",
            value="text",
        )
    cells = ("" if cell is None else str(cell) for cell in column.cells())
    return replace(table, texts=Texts.of(names[0], cells))


def _cards(table: Table, kind: str, ignored: set[str]) -> dict[str, ColumnCard]:
    if kind == "image":
        return {}
    if table.texts is not None:
        return {table.texts.name: _text_card(table.texts, table.title)}
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


def _text_card(texts: Texts, title: str) -> ColumnCard:
    empty = int(np.count_nonzero(texts.bytes == 0))
    if empty == len(texts):
        raise DataError(f"{title} has only empty texts in {texts.name!r}; there is nothing to read")
    return ColumnCard(name=texts.name, type="text", missing=empty, unique=len(set(texts)))


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
    for name in _names(data.split.by):
        notes.append(f"Column {name!r} decides the split and is not learnt from.")
    return notes
