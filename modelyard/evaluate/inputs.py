"""Taking parts out of raw rows: columns, patches of images, words of texts.

All of it on rows as they stand in the source, so that it serves every family and own code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from modelyard.data.rows import Rows
from modelyard.data.texts import Texts
from modelyard.data.tokens import TOKEN
from modelyard.models.estimator import Array

PATCHES = 8
"""Most patches along a side of an image."""

Box = tuple[slice, slice]
"""Rows and columns of an image."""


def with_column_of(rows: Rows, name: str, order: Array) -> Rows:
    """The rows with one column's cells taken from other rows.

    Args:
        rows: of a table.
        name: of the column.
        order: (n,) from which row each cell is taken.
    """
    columns = {**rows.columns, name: rows.columns[name].take(order)}
    return Rows(columns=columns)


def patches(height: int, width: int) -> Iterator[tuple[int, int, Box]]:
    """The patches of an image with their places in a grid, from the upper left corner."""
    for i, vertical in enumerate(_pieces(height)):
        for j, horizontal in enumerate(_pieces(width)):
            yield i, j, (vertical, horizontal)


def grid(height: int, width: int) -> tuple[int, int]:
    """How many patches there are down and across."""
    return min(height, PATCHES), min(width, PATCHES)


def without_patch(rows: Rows, box: Box, filling: Array) -> Rows:
    """Images with a patch of another one in them.

    Args:
        rows: of images (n, H, W, C).
        box: where.
        filling: (H, W, C), the image to take the patch from.
    """
    assert rows.images is not None
    images = np.array(rows.images)
    images[:, box[0], box[1]] = filling[box]
    return Rows(columns={}, images=images)


def mean_image(rows: Rows) -> Array:
    """(H, W, C) the mean of images, in their own type."""
    assert rows.images is not None
    result: Array = rows.images.mean(axis=0).astype(rows.images.dtype)
    return result


def of_texts(rows: Rows, texts: list[str]) -> Rows:
    """Rows like these with other texts."""
    assert rows.texts is not None
    return Rows(columns={}, texts=Texts.of(rows.texts.name, texts))


def words_of(text: str) -> list[str]:
    """Tokens as models see them: in small letters."""
    return re.findall(TOKEN, text.lower())


def without_word(text: str, word: str) -> str:
    """A text without any occurrence of a token."""
    return re.sub(TOKEN, lambda found: "" if found[0].lower() == word else found[0], text)


def _pieces(length: int) -> list[slice]:
    edges = np.linspace(0, length, min(length, PATCHES) + 1).round().astype(int).tolist()
    return [slice(a, b) for a, b in pairwise(edges)]
