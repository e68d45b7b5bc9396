"""Reading Parquet: numbers, texts, booleans and times; nothing nested."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from modelyard.data.columns import of_booleans, of_days, of_numbers, of_texts
from modelyard.data.rows import Column
from modelyard.data.sniff import sniff, tail
from modelyard.data.table import Table
from modelyard.errors import DataError

MAGIC = b"PAR1"
DAY_MICROSECONDS = 86_400_000_000
YEAR_1_SECONDS, YEAR_10_000_SECONDS = -62_135_596_800, 253_402_300_800
"""From 1970-01-01 to the first dates that ISO 8601 writes with four digits, and after the last."""


def read_parquet(path: Path, title: str) -> Table:
    """All columns of a Parquet file.

    Raises:
        DataError: it is something else, cut short, or a column has a type that is no cell's.
    """
    found = sniff(path)
    if found != "a Parquet file":
        raise DataError(f"{title} is not Parquet: it is {found or 'text, perhaps a CSV file'}")
    if tail(path, 4) != MAGIC:
        raise DataError(f"{title} is cut short: the end of the Parquet file is missing")
    try:
        with pq.ParquetFile(path) as file:
            _refuse_doubles(file.schema_arrow.names, title)
            cells = file.read()
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{title} is damaged and can't be read as Parquet: {error}") from error
    return of_cells(cells, title)


def of_cells(cells: pa.Table, title: str) -> Table:
    """All columns of an Arrow table.

    Raises:
        DataError: it has no rows, or a column of a type that is no cell's.
    """
    names = cells.column_names
    _refuse_doubles(names, title)
    if cells.num_rows == 0:
        raise DataError(f"{title} has no rows, only {len(names)} columns")
    return Table(
        title=title,
        columns={name: _column(cells.column(name), name, title) for name in names},
        integers=frozenset(f.name for f in cells.schema if pa.types.is_integer(f.type)),
    )


def _refuse_doubles(names: list[str], title: str) -> None:
    if double := [name for name, count in Counter(names).items() if count > 1]:
        raise DataError(
            f"{title} has {names.count(double[0])} columns named {double[0]!r}; "
            "give each its own name",
            value=double[0],
        )


def _is_text(kind: pa.DataType) -> bool:
    return kind in (pa.string(), pa.large_string(), pa.string_view())


def _days(cells: pa.ChunkedArray, name: str, title: str) -> NDArray[np.float64]:
    """Days since 1970-01-01, 0 where missing.

    Raises:
        DataError: a date is none that can be written; names the row.
    """
    to_seconds = pc.CastOptions(pa.timestamp("s"), allow_time_truncate=True)
    seconds = pc.fill_null(pc.cast(pc.cast(cells, options=to_seconds), pa.int64()), 0).to_numpy()
    bad = np.flatnonzero((seconds < YEAR_1_SECONDS) | (seconds >= YEAR_10_000_SECONDS))
    if len(bad):
        raise DataError(
            f"{title}, column {name!r} has a date outside the years 1 to 9999 in row {bad[0] + 1}; "
            "leave the cell empty if it means none, or the column out of the file (data.drop comes "
            "too late for it)",
            value=name,
        )
    moments = pc.cast(cells, pa.timestamp("us"), safe=False)
    micros: NDArray[np.int64] = pc.fill_null(pc.cast(moments, pa.int64()), 0).to_numpy()
    return micros / DAY_MICROSECONDS


def _column(cells: pa.ChunkedArray, name: str, title: str) -> Column:
    kind = cells.type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
        cells = pc.cast(cells, kind)
    if pa.types.is_null(kind) or _is_text(kind):
        return of_texts(pc.cast(cells, pa.large_string()))
    missing = pc.is_null(cells).to_numpy()
    if pa.types.is_boolean(kind):
        return of_booleans(pc.fill_null(cells, False).to_numpy(), missing)
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        return of_days(_days(cells, name, title), missing)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        numbers = pc.cast(cells, pa.float64(), safe=False)
        return of_numbers(pc.fill_null(numbers, np.nan).to_numpy(), missing)
    raise DataError(
        f"{title}, column {name!r} holds {kind}, which is no number, text, boolean or date; "
        "leave it out of the file, or make columns of it",
        value=name,
    )
