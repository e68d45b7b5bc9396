"""The preprocessor: fitted on the training part, kept with the model, the same when serving."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from modelyard.data.card import DataCard
from modelyard.data.encoders import (
    FIRST_ID,
    CategoryEncoder,
    Encoder,
    ImageEncoder,
    NumberEncoder,
)
from modelyard.data.payload import images_of, rows_of, texts_of
from modelyard.data.rows import Part, Rows
from modelyard.data.tokens import LENGTH, WORDS, TextEncoder

ColumnEncoder: TypeAlias = Annotated[NumberEncoder | CategoryEncoder, Field(discriminator="kind")]


class Preprocessor(Encoder):
    """From rows as they stand in the source to what a model is fitted to.

    Made by ``fit`` or ``from_json``. Each row is encoded by itself, so that one row served
    has the very numbers that it has within a batch.

    Args:
        format: of this JSON.
        columns: one encoder a column, in the order of the card; () for images and texts.
        images: encoder of the images; None for others.
        text: encoder of the texts; None for others.
        ignored: names of the source that rows to predict may hold and that are not looked at.
    """

    format: Literal[1] = 1
    columns: tuple[ColumnEncoder, ...] = ()
    images: ImageEncoder | None = None
    text: TextEncoder | None = None
    ignored: tuple[str, ...] = ()

    @classmethod
    def fit(
        cls,
        rows: Rows | Part,
        card: DataCard,
        *,
        words: int = WORDS,
        length: int = LENGTH,
        one_hot: int | None = None,
    ) -> Preprocessor:
        """Fit to the rows of the training part, and to no others.

        Args:
            rows: of the training part; of images a block is read at a time, of tables a column.
            card: of the data.
            words: of texts, most words with an id of their own.
            length: of texts, most tokens that are read.
            one_hot: of a column, most categories that are told one-hot; with more, they become
                ids, for a network that embeds them. None: one-hot all.
        """
        ignored = (*card.ignored, card.target)
        if card.kind == "text":
            texts = rows.take(slice(None)).texts
            assert texts is not None
            return cls(text=TextEncoder.fit(texts, words=words, length=length), ignored=ignored)
        if card.kind == "image":
            return cls(images=ImageEncoder.fit(rows), ignored=ignored)
        columns = tuple(
            NumberEncoder.fit(column.name, rows.column(column.name))
            if column.type == "number"
            else CategoryEncoder.fit(column.name, rows.column(column.name), one_hot)
            for column in card.columns
        )
        return cls(columns=columns, ignored=ignored)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the features of a table, in order; () for images and texts."""
        return tuple(name for encoder in self.columns for name in encoder.features)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the limits of the encoding left out of the training part, in whole sentences."""
        return () if self.text is None else self.text.notes

    @property
    def ids(self) -> tuple[tuple[int, int], ...]:
        """Features of a table that are ids: their places, and how many ids there may be."""
        found, place = [], 0
        for encoder in self.columns:
            if isinstance(encoder, CategoryEncoder) and encoder.ids:
                found.append((place, FIRST_ID + len(encoder.categories)))
            place += len(encoder.features)
        return tuple(found)

    def transform(self, rows: Rows) -> NDArray[Any]:
        """Encode rows.

        Returns:
            (n, features) for tables, (n, C, H, W) for images, both float32; (n, length) int32
            ids of words for texts, 0 behind the end of each.
        """
        if self.text is not None:
            assert rows.texts is not None
            return self.text.transform(rows.texts)
        if self.images is not None:
            assert rows.images is not None
            return self.images.transform(rows.images)
        out = np.empty((len(rows), len(self.feature_names)), dtype=np.float32)
        start = 0
        for encoder in self.columns:
            end = start + len(encoder.features)
            encoder.write(rows.columns[encoder.name], out[:, start:end])
            start = end
        return out

    def parse(
        self,
        payload: Sequence[Mapping[str, Any]]
        | Sequence[str]
        | Mapping[str, Sequence[Any]]
        | NDArray[Any],
    ) -> Rows:
        """Rows to predict for, as they stand in a CSV or in JSON.

        Args:
            payload: for a table a list of records, a dict of columns, or an array
                (n, columns); for images an array, or lists that make one, (n, H, W),
                (n, H, W, C) or (n, H * W * C); for texts also a list of strings. A number may
                be written as text; a cell without a value is None, NaN, or a text such as "" and
                NA.

        Raises:
            SchemaMismatch: names the column, the row (from 1) and the value.
        """
        if self.images is not None:
            return Rows(columns={}, images=images_of(payload, self.images.shape))
        if self.text is not None:
            return Rows(
                columns={}, texts=texts_of(payload, self.text.name, frozenset(self.ignored))
            )
        return rows_of(payload, self.columns, frozenset(self.ignored))

    def to_json(self) -> dict[str, Any]:
        """JSON that ``from_json`` reads back to the very same numbers."""
        return self.model_dump(mode="json")

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Preprocessor:
        """The preprocessor that ``to_json`` described."""
        return cls.model_validate(document)
