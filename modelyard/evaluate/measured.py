"""What a metric over given rows can be asked, whatever its arithmetic."""

from __future__ import annotations

from typing import Protocol

from modelyard.models.estimator import Array


class Measured(Protocol):
    """A metric over n rows. Where the rows say nothing (a class without examples), NaN."""

    def __len__(self) -> int:
        """n."""

    @property
    def value(self) -> float:
        """The metric over all rows."""

    def over(self, weights: Array) -> Array:
        """The metric over rows that count several times or not at all.

        Args:
            weights: (m, n) how often each row counts.

        Returns:
            (m,) values.
        """

    def left_out(self) -> Array:
        """(n,) the metric over all rows but one; of another's code fewer, each without a block."""
