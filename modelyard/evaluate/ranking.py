"""The area under the ROC curve, over weighted rows.

It depends on the order of the scores, so it is no function of sums over rows (``sums.py``). One
sort a class serves the value, each resample and each leave-one-out value.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from modelyard.models.estimator import Array


@dataclass(frozen=True, kw_only=True)
class _Class:
    """One class against all others.

    Args:
        order: (n,) rows by rising score.
        first, last: (n,) by place in that order, the first place with the same score, and the
            first one behind those.
        positive: (n,) bool, by place.
    """

    order: Array
    first: Array
    last: Array
    positive: Array

    @classmethod
    def of(cls, scores: Array, positive: Array) -> _Class:
        order = np.argsort(scores)
        ranked = scores[order]
        return cls(
            order=order,
            first=np.searchsorted(ranked, ranked, side="left"),
            last=np.searchsorted(ranked, ranked, side="right"),
            positive=positive[order],
        )

    def below(self, weights: Array) -> Array:
        """(…, n) by place: the weight of lower scores, ties by half."""
        sums = np.concatenate([np.zeros((*weights.shape[:-1], 1)), weights.cumsum(-1)], axis=-1)
        result: Array = (sums[..., self.first] + sums[..., self.last]) / 2
        return result

    def over(self, weights: Array) -> Array:
        """(m,) areas; NaN where a side has no weight."""
        ranked = weights[..., self.order].astype(np.float64)
        positive, negative = ranked * self.positive, ranked * ~self.positive
        won = (positive * self.below(negative)).sum(-1)
        return _share(won, positive.sum(-1) * negative.sum(-1))

    def left_out(self) -> Array:
        """(n,) by row: the area without it. What a row wins or loses is taken off, and nothing
        else changes, so that no row needs a sum of its own."""
        positive = self.positive.astype(np.float64)
        many, others = positive.sum(), (1 - positive).sum()
        lower = self.below(1 - positive)
        higher = many - self.below(positive)
        won = (positive * lower).sum()
        without = np.where(self.positive, won - lower, won - higher)
        pairs = np.where(self.positive, (many - 1) * others, many * (others - 1))
        areas = np.empty(len(positive))
        areas[self.order] = _share(without, pairs)
        return areas


@dataclass(frozen=True)
class Auc:
    """See ``measured.Measured``: the mean area over the classes that have examples and others.

    Each class is ranked against all others by its own probability (one versus rest), and every
    class counts alike (macro): Hand and Till 2001 compare this with their pairwise average. With
    two classes both areas are the same, that of the usual curve. An area is the share of pairs
    that are in the right order, ties by half (Hanley and McNeil 1982).

    Args:
        truth: (n,) class indices.
        output: (n, classes) probabilities.
    """

    truth: Array
    output: Array

    def __len__(self) -> int:
        """Rows."""
        return len(self.truth)

    @cached_property
    def _classes(self) -> tuple[_Class, ...]:
        # The areas of two classes are equal but for rounding: one is enough.
        numbers = range(self.output.shape[1]) if self.output.shape[1] != 2 else (1,)
        return tuple(
            _Class.of(self.output[:, number], positive)
            for number in numbers
            if (positive := self.truth == number).any() and not positive.all()
        )

    @property
    def value(self) -> float:
        """The metric over all rows."""
        return float(self.over(np.ones((1, len(self))))[0])

    def over(self, weights: Array) -> Array:
        """(m,) values."""
        return self._mean([one.over(weights) for one in self._classes], len(weights))

    def left_out(self) -> Array:
        """(n,) the metric over all rows but one."""
        return self._mean([one.left_out() for one in self._classes], len(self))

    @staticmethod
    def _mean(areas: list[Array], count: int) -> Array:
        """The mean over classes that have one."""
        stacked = np.stack(areas) if areas else np.full((1, count), np.nan)
        known = np.isfinite(stacked)
        return _share(np.where(known, stacked, 0.0).sum(axis=0), known.sum(axis=0))


def _share(part: Array, whole: Array) -> Array:
    """part / whole, NaN where there is nothing to share."""
    nothing = np.full(np.shape(part), np.nan)
    result: Array = np.divide(part, whole, out=nothing, where=whole > 0)
    return result
