"""What a user should know of their data before anything is learnt from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from modelyard.data.card import ColumnCard
from modelyard.data.columns import PLAIN, odd_date, odd_number, strays
from modelyard.data.rows import Column
from modelyard.data.table import Table, listed

UNBALANCED = 10
"""Times that the largest class may be the smallest before it is said."""


def notes_on(table: Table, cards: Mapping[str, ColumnCard]) -> Iterator[str]:
    """Sentences on the columns that are learnt from."""
    columns = {name: table.columns[name] for name in cards}
    yield from _missing(table, columns)
    yield from _infinite(table, columns)
    yield from _dates(cards)
    odd = {name: said for name, c in columns.items() if (said := misread(table, name, c))}
    yield from odd.values()
    others = {name: column for name, column in columns.items() if name not in odd}
    yield from _of_no_use(table, others, cards)


def notes_on_classes(target: str, counts: Mapping[str, int]) -> Iterator[str]:
    """Sentences on the balance of the classes."""
    if not counts:
        return
    total = sum(counts.values())
    shares = [f"{name} {count / total:.1%}" for name, count in counts.items()]
    yield f"Classes of {target!r}: {listed(shares)}."
    small, large = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
    if counts[large] > UNBALANCED * counts[small]:
        yield (
            f"The classes are unbalanced: {counts[large]} rows of {large!r}, {counts[small]} of "
            f"{small!r}. Accuracy says little here; look at balanced_accuracy or f1."
        )


def notes_on_texts(table: Table) -> Iterator[str]:
    """Sentences on the sizes of texts."""
    if table.texts is None:
        return
    sizes = table.texts.bytes
    yield f"Texts have {int(np.median(sizes)):,} bytes in the middle, {int(sizes.max()):,} at most."
    if len(empty := np.flatnonzero(sizes == 0)):
        yield f"Texts without anything in them: {table.where(empty)}."


def _missing(table: Table, columns: Mapping[str, Column]) -> Iterator[str]:
    counts = {name: int(np.count_nonzero(c.missing)) for name, c in columns.items()}
    said = [
        f"{name} {count} ({count / table.rows:.1%})"
        for name, count in counts.items()
        if 0 < count < table.rows
    ]
    if said:
        yield f"Cells without a value: {listed(said)}; numbers take the training median."
    if empty := [name for name, count in counts.items() if count == table.rows]:
        yield f"Without any value, of no use: {listed(empty)}. Drop them."


def _infinite(table: Table, columns: Mapping[str, Column]) -> Iterator[str]:
    for name, column in columns.items():
        if column.categories is None:
            rows = np.flatnonzero(~np.isfinite(column.values))
            if len(rows):
                yield f"Column {name!r} is infinite in {table.where(rows)}: taken as missing."


def _dates(cards: Mapping[str, ColumnCard]) -> Iterator[str]:
    if dates := [card.name for card in cards.values() if card.date]:
        yield (
            f"Dates, learnt from as days since 1970-01-01: {listed(dates)}. Rows to predict are "
            "often later than all of them; an age in days serves better."
        )


def misread(table: Table, name: str, column: Column) -> str | None:
    """A sentence on a column of categories that is likely meant as numbers or dates; else None."""
    if text := odd_number(column):
        return (
            f"Column {name!r} has numbers written such as {text!r} and is taken as categories. "
            f"{PLAIN} to have numbers."
        )
    if text := odd_date(column):
        return (
            f"Column {name!r} has dates written such as {text!r} and is taken as categories. Write "
            "ISO 8601, such as 2024-03-31, to have dates."
        )
    rows = strays(column)
    if not len(rows):
        return None
    assert column.categories is not None
    text = column.categories[column.values[rows[0]]]
    return (
        f"Column {name!r} is mostly numbers but is taken as categories, for {text!r} in "
        f"{table.where(rows)}. If that means no value, leave the cell empty."
    )


def _of_no_use(
    table: Table, columns: Mapping[str, Column], cards: Mapping[str, ColumnCard]
) -> Iterator[str]:
    constant = [name for name, card in cards.items() if card.unique == 1 and not card.missing]
    if constant:
        yield f"The same in every row, of no use: {listed(constant)}. Drop them."
    for name, column in columns.items():
        if cards[name].unique < table.rows or table.rows < 2:
            continue
        if column.categories is not None:
            yield f"Column {name!r} has another text in every row: an id? Drop it."
        elif counts_up(column):
            yield f"Column {name!r} only counts the rows: an id? Drop it."


def counts_up(column: Column) -> bool:
    """Whether a column of numbers goes on by one from row to row, as an id does."""
    return (
        column.categories is None and not column.date and bool((np.diff(column.values) == 1).all())
    )
