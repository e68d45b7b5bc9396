"""Cells become columns: what is a number, a date, a category, and what has no value."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from modelyard.data.rows import Column
from modelyard.data.values import MISSING, date, number

BOOLEANS = ("false", "true")

PLAIN = "Write numbers as 1234.5: a point before decimals, and no other sign"
"""What is advised where numbers are written otherwise."""

_UNITS = re.compile(
    r"^[$\u20ac\u00a3\u00a5]?\s*[+-]?\s*[$\u20ac\u00a3\u00a5]?\s*|\s*[%$\u20ac\u00a3\u00a5]?$"
)
_WRITTEN = re.compile(
    r"(?:[0-9]{1,3}([\s,'\u2019])[0-9]{3}(?:\1[0-9]{3})*|[0-9]+)(?:[.,][0-9]+)?"
    r"|[0-9]{1,3}(?:\.[0-9]{3})+,[0-9]+"
    r"|[0-9]{1,2}(?:,[0-9]{2})+,[0-9]{3}(?:\.[0-9]+)?"  # lakhs and crores
)
_DATE_LIKE = re.compile(
    r"(?:\d{4}([./-])\d{1,2}\1\d{1,2}|\d{1,2}([./-])\d{1,2}\2\d{4}|\d{1,2}/\d{1,2}/\d{2})"
    r"(?:[T ]\d.*)?"
)

PROBED = 100
"""Cells that are looked at before a whole column is taken for numbers."""


def of_numbers(values: NDArray[Any], missing: NDArray[np.bool_] | None = None) -> Column:
    """A column of numbers; NaN counts as missing.

    Args:
        values: (n,) of any real dtype.
        missing: (n,) bool.
    """
    numbers = np.array(values, dtype=np.float64)
    gone = np.isnan(numbers)
    if missing is not None:
        gone |= missing
    numbers[gone] = 0.0
    return Column(values=numbers, missing=gone)


def of_days(days: NDArray[np.float64], missing: NDArray[np.bool_]) -> Column:
    """A column of dates, from days since 1970-01-01."""
    column = of_numbers(days, missing)
    return Column(values=column.values, missing=column.missing, date=True)


def of_booleans(values: NDArray[np.bool_], missing: NDArray[np.bool_]) -> Column:
    """A column of the categories false and true."""
    codes = np.where(missing, -1, values.astype(np.int32)).astype(np.int32)
    return Column(values=codes, missing=missing, categories=BOOLEANS)


def of_texts(cells: Sequence[str | None] | pa.ChunkedArray) -> Column:
    """A column from texts: all numbers, all dates, all booleans, else categories.

    Blanks around a text don't count. A column without any value is one of numbers.
    """
    array = cells if isinstance(cells, pa.ChunkedArray) else pa.chunked_array([cells], pa.string())
    trimmed = pc.utf8_trim_whitespace(array)
    # Texts that mean "no value" are known to Arrow as nulls from here on.
    absent = pc.is_in(trimmed, value_set=pa.array(sorted(MISSING), trimmed.type))
    trimmed = pc.if_else(absent, pa.scalar(None, trimmed.type), trimmed)
    try:
        # A failed cast makes an error of each cell that is no number: look at a few first.
        pc.cast(trimmed.slice(0, PROBED), pa.float64())
        numbers = pc.cast(trimmed, pa.float64())
    except pa.ArrowInvalid:
        return _of_vocabulary(trimmed)
    missing = pc.is_null(trimmed).to_numpy()
    return of_numbers(pc.fill_null(numbers, 0.0).to_numpy(), missing)


def _of_vocabulary(texts: pa.ChunkedArray) -> Column:
    encoded = texts.dictionary_encode().combine_chunks()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.chunk(0)
    vocabulary: list[str] = encoded.dictionary.to_pylist()
    codes = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int32)
    missing = codes < 0
    for read, make in ((number, of_numbers), (date, of_days)):
        values = [read(text) for text in vocabulary]
        if None not in values:
            return make(np.array([*values, 0.0], dtype=np.float64)[codes], missing)
    if all(text.lower() in BOOLEANS for text in vocabulary):
        vocabulary = [text.lower() for text in vocabulary]
    categories = tuple(sorted(set(vocabulary)))
    place = {text: index for index, text in enumerate(categories)}
    renumbered = np.array([*(place[text] for text in vocabulary), -1], dtype=np.int32)
    return Column(values=renumbered[codes], missing=missing, categories=categories)


def odd_number(column: Column) -> str | None:
    """Of texts that are all numbers but for decimal commas and signs, the first with such.

    Signs are what parts thousands (``1,234`` and ``1'234``), percent and currencies. They count
    where they stand as in a number only: ``114 55`` and ``1,2,3`` are labels.
    """
    texts = column.categories or ()
    if not all(_is_written(_UNITS.sub("", text)) for text in texts):
        return None
    return next((text for text in texts if number(text) is None), None)


def _is_written(bare: str) -> bool:
    return number(bare) is not None or _WRITTEN.fullmatch(bare) is not None


def odd_date(column: Column) -> str | None:
    """Of texts that all look like dates, the first that is none as ISO 8601 has them."""
    texts = column.categories or ()
    if not all(_DATE_LIKE.fullmatch(text) for text in texts):
        return None
    return next((text for text in texts if date(text) is None), None)


def strays(column: Column) -> NDArray[np.intp]:
    """Rows whose text keeps a column from being one of numbers.

    Returns:
        Their indices; empty for number columns, and where most cells are no numbers anyway.
    """
    if column.categories is None:
        return np.empty(0, dtype=np.intp)
    numeric = np.array([*(number(text) is not None for text in column.categories), True])
    fits = numeric[column.values]
    if np.count_nonzero(fits & ~column.missing) <= np.count_nonzero(~fits):
        return np.empty(0, dtype=np.intp)
    return np.flatnonzero(~fits)
