"""Request bodies: MLflow's four shapes in, rows by column or an array out. Pure."""

from __future__ import annotations

import json
from typing import Any, TypeAlias

import numpy as np

SHAPES = ("dataframe_records", "dataframe_split", "inputs", "instances")
"""The keys of MLflow's scoring protocol; a body holds exactly one of them."""

Payload: TypeAlias = "list[dict[str, Any]] | list[str] | np.ndarray[Any, np.dtype[Any]]"


class Malformed(ValueError):
    """The body isn't one of the shapes: answered 400."""


def decode(body: bytes) -> Payload:
    """Rows as dictionaries by column, texts, or an array of examples.

    Args:
        body: JSON in UTF-8.

    Raises:
        Malformed: no JSON, none of the shapes, or a shape that contradicts itself.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"the body is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise Malformed(f"the body is a JSON {_kind(document)}; send an object with {_wanted()}")
    given = [key for key in document if key in SHAPES]
    strangers = [key for key in document if key not in SHAPES]
    if strangers or len(given) != 1:
        held = ", ".join(sorted(document)) or "nothing"
        raise Malformed(f"the body holds {held}; send an object with {_wanted()}")
    rows = _split(document[given[0]]) if given[0] == "dataframe_split" else document[given[0]]
    return _rows(given[0], rows)


def _rows(shape: str, value: Any) -> Payload:
    if isinstance(value, dict) and shape in ("inputs", "instances"):
        return _columns(shape, value)
    if not isinstance(value, list):
        raise Malformed(f"{shape} is a JSON {_kind(value)}; send a list of rows")
    if not value:
        raise Malformed(f"{shape} is empty; send at least one row")
    if not shape.startswith("dataframe") and all(isinstance(row, str) for row in value):
        return value
    dictionaries = sum(isinstance(row, dict) for row in value)
    if dictionaries == len(value):
        return value
    if dictionaries or shape.startswith("dataframe"):
        odd = next(i for i, row in enumerate(value) if not isinstance(row, dict))
        raise Malformed(f"row {odd + 1} of {shape} is no object of columns and values")
    return _array(shape, value)


def _array(shape: str, value: list[Any]) -> Payload:
    try:
        array = np.asarray(value, dtype=np.float64)
    except (ValueError, TypeError, OverflowError):
        raise Malformed(
            f"{shape} is neither a list of objects, nor of texts, nor an array of numbers of one "
            "shape"
        ) from None
    return array


def _columns(shape: str, value: dict[str, Any]) -> Payload:
    lengths = {name: len(cells) for name, cells in value.items() if isinstance(cells, list)}
    if len(lengths) != len(value) or len(set(lengths.values())) != 1 or 0 in lengths.values():
        raise Malformed(f"the columns of {shape} are not lists of one length of at least 1")
    rows = next(iter(lengths.values()))
    return [{name: cells[i] for name, cells in value.items()} for i in range(rows)]


def _split(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, dict) or not {"columns", "data"} <= value.keys():
        raise Malformed("dataframe_split needs columns and data")
    columns, data = value["columns"], value["data"]
    if not isinstance(columns, list) or not isinstance(data, list):
        raise Malformed("columns and data of dataframe_split are lists")
    if len(set(map(str, columns))) != len(columns):
        raise Malformed("dataframe_split names a column twice")
    for number, row in enumerate(data, start=1):
        if not isinstance(row, list) or len(row) != len(columns):
            raise Malformed(f"row {number} of dataframe_split has not {len(columns)} values")
    return [dict(zip(map(str, columns), row, strict=True)) for row in data]


def _wanted() -> str:
    return f"exactly one of {', '.join(SHAPES)}"


def _kind(value: Any) -> str:
    names = {list: "list", dict: "object", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")
