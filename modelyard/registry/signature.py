"""What a version takes and gives: MLflow's signature, its example rows, and when it changes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from modelyard.contract import digest_of
from modelyard.data.card import ColumnCard, DataCard
from modelyard.data.rows import Column, Rows

if TYPE_CHECKING:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, TensorSpec

EXAMPLE_ROWS = 5

_AMBIGUOUS = re.compile(r"true|false|[+-]?\d+(\.\d+)?", re.IGNORECASE)
"""Texts that a reader of CSV turns into booleans or numbers."""


def example(rows: Rows) -> dict[str, Any]:
    """The first rows as a request that the model server takes: ``dataframe_records`` as they
    stand in the source, or ``instances`` of images (n, H, W) or (n, H, W, C)."""
    first = rows.take(slice(0, EXAMPLE_ROWS))
    if first.images is not None:
        return {"instances": _images(first).tolist()}
    return {"dataframe_records": first.records()}


def input_example(rows: Rows) -> pd.DataFrame | np.ndarray[Any, Any]:
    """The same rows as MLflow keeps them with the model."""
    first = rows.take(slice(0, EXAMPLE_ROWS))
    if first.images is not None:
        return _images(first)
    if first.texts is not None:
        return pd.DataFrame(first.records())
    frame = pd.DataFrame(first.records(), columns=list(first.columns))
    numbers = [n for n, c in first.columns.items() if c.categories is None and not c.date]
    return frame.astype(dict.fromkeys(numbers, "float64"))


def model_signature(card: DataCard, rows: Rows) -> ModelSignature:
    """MLflow's signature on the raw columns, texts or images.

    MLflow refuses an integer column where it expects doubles, and a boolean one where it expects
    text; a frame read from CSV holds such where all cells happen to be whole numbers, or True
    and False. A date is a text in a CSV and a moment in Parquet. Such columns are typed as
    anything, and the model's own check, which knows what they mean, decides. A column that isn't
    there is refused by name.

    Args:
        card: of the data that the model was fitted on.
        rows: some of its rows; they show whether numbers are whole.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec

    outputs = Schema(
        [
            ColSpec(DataType.string if card.classes else DataType.double, "prediction"),
            ColSpec(DataType.double, "confidence", required=False),
        ]
    )
    if card.kind == "image":
        images = _images(rows)
        shape = (-1, *images.shape[1:])
        return ModelSignature(Schema([TensorSpec(images.dtype, shape)]), outputs)
    if card.kind == "text":
        return ModelSignature(Schema([ColSpec(DataType.string, card.columns[0].name)]), outputs)
    columns: list[ColSpec | TensorSpec] = [
        _column(column, rows.columns[column.name]) for column in card.columns
    ]
    return ModelSignature(Schema(columns), outputs)


def fingerprint(card: DataCard) -> str:
    """What callers of a model rely on; when it changes, the major version does."""
    return digest_of(
        {
            "kind": card.kind,
            "task": card.task,
            "columns": [[column.name, column.type, column.date] for column in card.columns],
            "shape": list(card.shape),
            "target": card.target,
            "classes": list(card.classes),
        }
    )


def next_semantic(newest: str | None, *, same_signature: bool) -> str:
    """The version of our own that follows.

    Each version of a model gets a new minor number: new weights, the same calls. A changed
    signature (columns, their types, image shape, task, target, classes) gets a new major one.

    Args:
        newest: of the model's newest version; None for the first.
        same_signature: whether the fingerprints are equal.
    """
    if newest is None:
        return "1.0.0"
    major, minor, _ = (int(part) for part in newest.split("."))
    return f"{major}.{minor + 1}.0" if same_signature else f"{major + 1}.0.0"


def _column(card: ColumnCard, column: Column) -> ColSpec:
    from mlflow.types import ColSpec, DataType
    from mlflow.types.schema import AnyType

    required = card.missing == 0
    anything = AnyType()  # type: ignore[no-untyped-call]
    if card.date:  # texts in a frame read from CSV, moments in one from Parquet
        return ColSpec(anything, card.name, required=required)
    if card.type == "number":
        whole = not np.any(column.values % 1)
        return ColSpec(anything if whole else DataType.double, card.name, required=required)
    texts = column.categories or ()
    ambiguous = bool(texts) and all(_AMBIGUOUS.fullmatch(text) for text in texts)
    return ColSpec(anything if ambiguous else DataType.string, card.name, required=required)


def _images(rows: Rows) -> np.ndarray[Any, Any]:
    """Images (n, H, W) or (n, H, W, C), as float64: what numpy makes of numbers and JSON."""
    images = rows.images
    if images is None:
        raise ValueError("rows of a table hold no images")
    if images.shape[-1] == 1:
        images = images[..., 0]
    return images.astype(np.float64)
