"""What is known of the data: kind, task, columns, classes, and what was noticed."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict

Kind: TypeAlias = Literal["table", "image", "text"]


class ColumnCard(BaseModel):
    """One column that is learnt from.

    Args:
        name: as it stands in the source.
        type: number, category or text; what rows to predict for must hold.
        missing: cells without a value.
        unique: distinct values, missing ones not counted.
        date: the cells are ISO 8601 dates or times; their numbers are days since 1970-01-01.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    type: Literal["number", "category", "text"]
    missing: int
    unique: int
    date: bool = False


class DataCard(BaseModel):
    """What one look at the source tells; JSON-able, and kept with snapshot and model.

    Args:
        kind: table, image or text.
        task: classification or regression.
        rows: rows of the source.
        columns: those that are learnt from, in the order of the source; () for images, and one
            for texts.
        target: the column to predict.
        classes: in the order of their numbers; () for regression.
        class_counts: rows of each class; {} for regression.
        shape: height, width, channels of an image; () for others.
        length: tokens that nine texts in ten don't exceed, as a sample of them tells; 0 of others.
        ignored: columns of the source that are not learnt from, the target not among them.
        notes: what was noticed, in whole sentences for the user.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    task: Literal["classification", "regression"]
    rows: int
    columns: tuple[ColumnCard, ...] = ()
    target: str
    classes: tuple[str, ...] = ()
    class_counts: dict[str, int] = {}
    shape: tuple[int, ...] = ()
    length: int = 0
    ignored: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
