"""What a client sends, checked against the columns that a model knows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import date as Date
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelyard.data.encoders import CategoryEncoder, NumberEncoder
from modelyard.data.rows import Column, Rows
from modelyard.data.table import listed
from modelyard.data.texts import Texts
from modelyard.data.values import MISSING, date, days, number, plain
from modelyard.errors import SchemaMismatch
from modelyard.experiment.similar import nearest

ColumnEncoders = Sequence[NumberEncoder | CategoryEncoder]

_WRONG = object()


def rows_of(payload: Any, encoders: ColumnEncoders, ignored: frozenset[str]) -> Rows:
    """Rows of a table from records, columns or an array; see ``Preprocessor.parse``."""
    names = [encoder.name for encoder in encoders]
    if isinstance(payload, np.ndarray):
        payload = _columns_of_array(payload, names)
    if isinstance(payload, Mapping):
        cells = _of_columns(payload, names, ignored)
    elif isinstance(payload, Sequence) and not isinstance(payload, str | bytes):
        cells = _of_records(payload, names, ignored)
    else:
        raise SchemaMismatch(
            "", f"rows are a list of records or a dict of columns, not {_type(payload)}"
        )
    return Rows(columns={e.name: _column(e, cells[e.name]) for e in encoders})


def images_of(payload: Any, shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """Images (n, H, W, C) from an array or lists; see ``Preprocessor.parse``."""
    try:
        images = np.asarray(payload)
    except ValueError as error:
        raise SchemaMismatch("", f"the images are not all of one shape: {error}") from error
    height, width, channels = shape
    shapes = [shape, (height * width * channels,), *([(height, width)] if channels == 1 else [])]
    if images.dtype.kind not in "buif" or images.shape[1:] not in shapes:
        found = f"shape {images.shape} and type {images.dtype}"
        wanted = " or ".join(f"(n, {', '.join(map(str, s))})" for s in shapes)
        raise SchemaMismatch("", f"images are an array of numbers {wanted}; this has {found}")
    if len(images) == 0:
        raise SchemaMismatch("", "there are no rows")
    with np.errstate(over="ignore"):
        single = images.reshape(-1, *shape).astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(single).all(axis=(1, 2, 3)))
    if len(bad):
        raise SchemaMismatch(
            "", f"row {bad[0] + 1} has a pixel that is NaN, infinite or beyond float32"
        )
    return single


def texts_of(payload: Any, name: str, ignored: frozenset[str]) -> Texts:
    """Texts from strings, records, columns or an array; see ``Preprocessor.parse``."""
    if isinstance(payload, np.ndarray):
        payload = payload.reshape(-1).tolist() if payload.size == len(payload) else payload
    if isinstance(payload, Mapping):
        cells = _of_columns(payload, [name], ignored)[name]
    elif isinstance(payload, str | bytes) or not isinstance(payload, Sequence):
        raise SchemaMismatch("", f"texts are a list of strings or records, not {_type(payload)}")
    elif any(isinstance(row, Mapping) for row in payload) or not payload:
        cells = _of_records(payload, [name], ignored)[name]
    else:
        cells = list(payload)
    return Texts.of(name, (text or "" for text in _read(name, cells, _text, "a text")))


def _columns_of_array(array: NDArray[Any], names: list[str]) -> dict[str, list[Any]]:
    if array.ndim != 2 or array.shape[1] != len(names):
        raise SchemaMismatch(
            "",
            f"an array of rows is (n, {len(names)}), one column for each of "
            f"{listed(names)}; this is {array.shape}",
        )
    return dict(zip(names, array.T.tolist(), strict=True))


def _of_columns(
    payload: Mapping[str, Any], names: list[str], ignored: frozenset[str]
) -> dict[str, list[Any]]:
    _check_names(payload, names, ignored, "")
    cells: dict[str, list[Any]] = {}
    for name in names:
        values = payload[name]
        values = values.tolist() if isinstance(values, np.ndarray) else values
        if isinstance(values, str | bytes | Mapping) or not isinstance(values, Sequence):
            raise SchemaMismatch(
                name, f"column {name!r} must be a list of cells, not {_type(values)}"
            )
        cells[name] = list(values)
    lengths = {name: len(values) for name, values in cells.items()}
    for name, length in lengths.items():
        if length != lengths[names[0]]:
            raise SchemaMismatch(
                name,
                f"column {name!r} has {length} cells where {names[0]!r} has {lengths[names[0]]}",
            )
    if lengths[names[0]] == 0:
        raise SchemaMismatch("", "there are no rows")
    return cells


def _of_records(
    payload: Sequence[Any], names: list[str], ignored: frozenset[str]
) -> dict[str, list[Any]]:
    if not payload:
        raise SchemaMismatch("", "there are no rows")
    known = frozenset(names)
    for row, record in enumerate(payload, start=1):
        if not isinstance(record, Mapping):
            raise SchemaMismatch(
                "", f"row {row} must be a record of column names and cells, not {_type(record)}"
            )
        if record.keys() != known:
            _check_names(record, names, ignored, f"row {row}: ")
    return {name: [record[name] for record in payload] for name in names}


def _check_names(
    found: Mapping[str, Any], names: list[str], ignored: frozenset[str], where: str
) -> None:
    for name in found:
        if name not in names and name not in ignored:
            near = nearest(str(name), tuple(names))
            hint = f"Did you mean {near!r}?" if near else f"There are: {listed(names)}"
            raise SchemaMismatch(str(name), f"{where}unknown column {name!r}. {hint}")
    if missing := [name for name in names if name not in found]:
        are = "is" if len(missing) == 1 else "are"
        columns = f"column{'s' * (len(missing) > 1)} {listed(map(repr, missing))}"
        raise SchemaMismatch(
            missing[0], f"{where}{columns} {are} missing; a cell without a value is null"
        )


def _column(encoder: NumberEncoder | CategoryEncoder, cells: list[Any]) -> Column:
    if isinstance(encoder, CategoryEncoder):
        return _category_column(encoder, cells)
    if encoder.date:
        numbers = _read(encoder.name, cells, _date, "a date such as 2024-03-31 or 2024-03-31T12:00")
    else:
        numbers = _read(encoder.name, cells, _number, "a number")
    values = np.array(numbers, dtype=np.float64)
    # Infinite numbers count as missing in training too.
    missing = ~np.isfinite(values)
    return Column(values=np.where(missing, 0.0, values), missing=missing, date=encoder.date)


def _category_column(encoder: CategoryEncoder, cells: list[Any]) -> Column:
    texts = _read(encoder.name, cells, _text, "a text")
    if encoder.boolean:
        texts = [None if text is None else text.lower() for text in texts]
    categories = tuple(sorted({text for text in texts if text is not None}))
    place: dict[str | None, int] = {text: index for index, text in enumerate(categories)}
    codes = np.array([place.get(text, -1) for text in texts], dtype=np.int32)
    return Column(values=codes, missing=codes < 0, categories=categories)


def _read(name: str, cells: list[Any], read: Callable[[Any], Any], wanted: str) -> list[Any]:
    """The cells' values; ``read`` answers ``_WRONG`` for a cell that has none."""
    values = [read(cell) for cell in cells]
    if _WRONG in values:
        row = values.index(_WRONG)
        raise SchemaMismatch(
            name,
            f"row {row + 1}, column {name!r}: {str(cells[row])[:60]!r} ({_type(cells[row])}) "
            f"is not {wanted}",
        )
    return values


def _number(cell: Any) -> Any:
    if isinstance(cell, bool | np.bool_):
        return _WRONG
    if isinstance(cell, int | float | np.integer | np.floating):
        try:
            return float(cell)
        except OverflowError:
            return math.inf
    return _from_text(cell, number)


def _date(cell: Any) -> Any:
    if isinstance(cell, float | datetime) and cell != cell:  # NaN, and the NaT of pandas
        return math.nan
    if isinstance(cell, datetime):
        return days(cell)
    if isinstance(cell, Date):
        return days(datetime(cell.year, cell.month, cell.day))
    return _from_text(cell, date)


def _from_text(cell: Any, read: Callable[[str], float | None]) -> Any:
    if cell is None:
        return math.nan
    if not isinstance(cell, str):
        return _WRONG
    text = cell.strip()
    value = math.nan if text in MISSING else read(text)
    return _WRONG if value is None else value


def _text(cell: Any) -> Any:
    if cell is None:
        return None
    if isinstance(cell, str):
        text = cell.strip()
        return None if text in MISSING else text
    if isinstance(cell, bool | np.bool_):
        return str(bool(cell)).lower()
    if isinstance(cell, int | np.integer):
        return str(int(cell))
    if isinstance(cell, float | np.floating):
        return None if math.isnan(cell) else plain(float(cell))
    return _WRONG


def _type(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "a boolean"}
    if value is None:
        return "null"
    return names.get(type(value), "a number" if isinstance(value, int | float) else "an object")
