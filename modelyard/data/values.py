"""What a text in a cell means: nothing, a number, a date. Training and serving share it."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta

MISSING = frozenset({"", "NA", "N/A", "n/a", "NaN", "nan", "NAN", "null", "NULL", "Null", "<NA>"})
"""Texts that mean that a cell has no value. "None" is not among them: it may be an answer."""

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_INFINITY = re.compile(r"[+-]?inf(?:inity)?", re.IGNORECASE)
_DATE = re.compile(
    r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?(?:Z|[+-]\d{2}:?\d{2})?)?",
    re.ASCII,
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = timedelta(days=1)


def number(text: str) -> float | None:
    """The number that a text is; None where it is none. Infinity is a number here."""
    if _NUMBER.fullmatch(text) or _INFINITY.fullmatch(text):
        return float(text)
    return None


def date(text: str) -> float | None:
    """Days since 1970-01-01 of an ISO 8601 date or time (UTC unless it says otherwise)."""
    if not _DATE.fullmatch(text):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return days(moment)


def days(moment: datetime) -> float:
    """Days since 1970-01-01; UTC unless the moment knows its own offset."""
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH) / _DAY


def plain(value: float) -> str:
    """A number as one would write it: 3 for 3.0, else the shortest text that reads back."""
    if math.isfinite(value) and value == int(value) and abs(value) < 1e15:
        return str(int(value))
    return repr(float(value))
