"""What every score has in common: it lies between 0 and 1."""

from __future__ import annotations


def clipped(value: float) -> float:
    """The nearest value between 0 and 1."""
    return min(1.0, max(0.0, value))
