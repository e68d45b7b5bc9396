"""From one column to features: imputing, scaling, one-hot; fitted on the training part only."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from modelyard.data.rows import Column, Part, Rows

MOST_CATEGORIES = 50
"""Categories of a column with a feature of their own; the rarer ones share one."""

MOST_IDS = 100_000
"""Categories of a column with an id of their own; the rarer ones share ``UNSEEN``."""

UNSEEN, MISSING_ID, FIRST_ID = 0, 1, 2
"""Ids that are no category, and that of the most frequent one."""

VALUES_AT_ONCE = 1 << 22
"""Of images that are fitted to: 32 MB as float64."""

LARGEST = float(np.finfo(np.float32).max)
"""A number served may be so far out that float32 would make it infinite."""


class Encoder(BaseModel):
    """Base of what is fitted: frozen, and JSON that reads back to the very same numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class NumberEncoder(Encoder):
    """A number, standardised; missing ones take the median.

    Args:
        name: of the column.
        median: of the training cells; 0 where there are none.
        mean: of the training cells, medians included.
        scale: their standard deviation; 1 where they are all the same.
        indicator: a second feature says which were missing; only where the training part has
            any, as its weight could not be learnt else.
        date: the cells are dates.
    """

    kind: Literal["number"] = "number"
    name: str
    median: float
    mean: float
    scale: float
    indicator: bool
    date: bool = False

    @classmethod
    def fit(cls, name: str, column: Column) -> NumberEncoder:
        """Median, mean and scale of the training cells."""
        known = column.values[~column.missing]
        # Halved first: the two middle ones are added, and may be huge.
        median = float(np.median(known / 2) * 2) if len(known) else 0.0
        mean, scale = _standard(np.where(column.missing, median, column.values))
        return cls(
            name=name,
            median=median,
            mean=mean,
            scale=scale,
            indicator=bool(column.missing.any()),
            date=column.date,
        )

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the features."""
        return (self.name, f"{self.name} is missing") if self.indicator else (self.name,)

    def write(self, column: Column, out: NDArray[np.float32]) -> None:
        """Fill ``out`` (n, features)."""
        filled = np.where(column.missing, self.median, column.values)
        with np.errstate(over="ignore"):
            scaled = (filled - self.mean) / self.scale
        out[:, 0] = np.clip(scaled, -LARGEST, LARGEST)
        if self.indicator:
            out[:, 1] = column.missing


class CategoryEncoder(Encoder):
    """A category, one-hot or as an id.

    A category never seen in training has the feature of the rare ones where there are any,
    else no feature set at all; so has a missing cell where none was missing in training. As ids,
    both have one of their own.

    Args:
        name: of the column.
        categories: those with a feature or an id, the most frequent first.
        rare: there are others, with one feature or ``UNSEEN`` together.
        missing: there are missing cells, with a feature of their own.
        ids: one feature holds the category's number, for a network that embeds it.
    """

    kind: Literal["category"] = "category"
    name: str
    categories: tuple[str, ...]
    rare: bool
    missing: bool
    ids: bool = False

    @classmethod
    def fit(cls, name: str, column: Column, one_hot: int | None = None) -> CategoryEncoder:
        """The most frequent categories of the training cells.

        Args:
            name: of the column.
            column: its training cells.
            one_hot: most categories that are told one-hot; with more, they become ids. None: all
                are.
        """
        assert column.categories is not None
        counts = np.bincount(column.values[~column.missing], minlength=len(column.categories))
        order = np.argsort(-counts, kind="stable")
        seen = [column.categories[index] for index in order if counts[index]]
        if one_hot is not None and len(seen) > one_hot:
            # What was seen once says nothing of itself: it teaches what an unseen one is like.
            often = [column.categories[index] for index in order if counts[index] > 1]
            kept = tuple(often[:MOST_IDS])
            return cls(
                name=name,
                categories=kept,
                rare=len(kept) < len(seen),
                missing=bool(column.missing.any()),
                ids=True,
            )
        return cls(
            name=name,
            categories=tuple(seen[:MOST_CATEGORIES]),
            rare=len(seen) > MOST_CATEGORIES,
            missing=bool(column.missing.any()),
        )

    @property
    def boolean(self) -> bool:
        """Whether all categories are booleans, so that ``True`` and ``true`` mean the same."""
        return bool(self.categories) and {"false", "true"}.issuperset(self.categories)

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the features."""
        if self.ids:
            return (self.name,)
        return (
            *(f"{self.name}={category}" for category in self.categories),
            *((f"{self.name} is rare",) if self.rare else ()),
            *((f"{self.name} is missing",) if self.missing else ()),
        )

    def write(self, column: Column, out: NDArray[np.float32]) -> None:
        """Fill ``out`` (n, features)."""
        assert column.categories is not None
        if self.ids:
            ids = {category: number for number, category in enumerate(self.categories, FIRST_ID)}
            # One more at the end: code -1, a missing cell, finds it.
            found = [*(ids.get(category, UNSEEN) for category in column.categories), MISSING_ID]
            out[:, 0] = np.array(found, np.float32)[column.values]
            return
        width = out.shape[1]
        unseen = len(self.categories) if self.rare else -1
        place = {category: index for index, category in enumerate(self.categories)}
        # One more at the end: code -1, a missing cell, finds it.
        to_feature = np.array(
            [
                *(place.get(category, unseen) for category in column.categories),
                width - 1 if self.missing else unseen,
            ]
        )
        features = to_feature[column.values]
        out[:] = 0
        rows = np.flatnonzero(features >= 0)
        out[rows, features[rows]] = 1


class ImageEncoder(Encoder):
    """Images, each channel standardised.

    Args:
        shape: height, width, channels.
        mean: of each channel over the training images.
        scale: their standard deviation; 1 where all pixels are the same.
    """

    kind: Literal["image"] = "image"
    shape: tuple[int, int, int]
    mean: tuple[float, ...]
    scale: tuple[float, ...]

    @classmethod
    def fit(cls, rows: Rows | Part) -> ImageEncoder:
        """Mean and scale of each channel, in two passes over (n, H, W, C), a block at a time."""
        shape = _images(rows, slice(0, 1)).shape[1:]
        size = max(1, VALUES_AT_ONCE // math.prod(shape))
        blocks = [slice(start, start + size) for start in range(0, len(rows), size)]
        pixels = len(rows) * shape[0] * shape[1]
        # Over the images first: whole images are added up several times as fast as channels.
        total, squares = np.zeros(shape), np.zeros(shape)
        low, high = np.full(shape, np.inf), np.full(shape, -np.inf)
        for block in blocks:
            images = _images(rows, block)
            total += images.sum(axis=0, dtype=np.float64)
            low = np.minimum(low, images.min(axis=0))
            high = np.maximum(high, images.max(axis=0))
        mean = total.sum(axis=(0, 1)) / pixels
        for block in blocks:
            far = _images(rows, block) - mean
            squares += np.square(far, out=far).sum(axis=0)
        constant = low.min(axis=(0, 1)) == high.max(axis=(0, 1))
        deviation = np.sqrt(squares.sum(axis=(0, 1)) / pixels)
        return cls(
            shape=(shape[0], shape[1], shape[2]),
            mean=tuple(mean.tolist()),
            scale=tuple(np.where(constant, 1.0, deviation).tolist()),
        )

    def transform(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """(n, H, W, C) to (n, C, H, W) float32."""
        channels_first = np.moveaxis(images, 3, 1)
        out = np.empty(channels_first.shape, dtype=np.float32)
        mean = np.array(self.mean, dtype=np.float32)[:, None, None]
        scale = np.array(self.scale, dtype=np.float32)[:, None, None]
        np.subtract(channels_first, mean, out=out, casting="same_kind")
        np.divide(out, scale, out=out)
        return out


def _images(rows: Rows | Part, wanted: slice) -> NDArray[Any]:
    images = rows.take(wanted).images
    assert images is not None
    return images


def _standard(values: NDArray[np.float64]) -> tuple[float, float]:
    """Mean and standard deviation; of numbers that are all the same, that number and 1."""
    if len(values) == 0:
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    if low == high:  # the computed deviation would be rounding noise
        return low, 1.0
    with np.errstate(over="ignore", invalid="ignore"):
        mean, scale = float(values.mean()), float(values.std())
    if np.isfinite([mean, scale]).all() and scale > 0:
        return mean, scale
    return 0.0, max(-low, high)  # too large, or too close to each other, to be squared
