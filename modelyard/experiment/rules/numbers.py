"""Numbers that no computer counts to: a slip of the hand, or a test of what happens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from modelyard.errors import Mistake
from modelyard.experiment.keys import Loc, dotted, locate, parts
from modelyard.experiment.rules.case import Mistakes

LARGEST = 2**53
"""Largest whole number that JSON carries to every reader unharmed (RFC 8259, section 6); the
journal's integers have 64 bits."""


def too_large(raw: Mapping[str, Any]) -> Mistakes:
    """Whole numbers that neither the journal nor an array has a place for.

    Where a real number is asked for, ``100000000000000000000`` is 1e20, and well.

    Args:
        raw: an experiment file's keys and values.
    """
    for path, number in _whole(raw, ()):
        if abs(number) > LARGEST and not _is_real(path):
            yield Mistake(
                path=dotted(path),
                message=f"{number} is out of range; whole numbers go up to {LARGEST:,}",
                value=number,
            )


def _whole(value: Any, path: Loc) -> Iterator[tuple[Loc, int]]:
    if isinstance(value, Mapping | list | tuple):
        for key, inner in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield from _whole(inner, (*path, key))
    elif isinstance(value, int):
        yield path, value


def _is_real(path: Loc) -> bool:
    """Whether a real number and no whole one is asked for there."""
    _, field = locate(path)
    return field is not None and set(parts(field.annotation)) <= {float, type(None)}
