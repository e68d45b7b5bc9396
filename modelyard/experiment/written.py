"""From the model's canonical paths back to what stands in the file.

``search.sampler.options.steps`` of the model is ``search.sampler.steps`` of the file, an item of
``objective`` may be ``objective`` itself, and ``[adam, sgd]`` is short for ``{choice: …}``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelyard.experiment.keys import Loc, dotted

SHOWN_LENGTH = 60
"""Longest value that a message repeats in full."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a canonical path leads in the file.

    Args:
        path: the file's own keys, as far as they are written.
        value: what stands there.
        rest: the part of the canonical path that the file doesn't have.
    """

    path: Loc
    value: Any
    rest: Loc

    @property
    def dotted(self) -> str:
        """The path as messages show it."""
        return dotted(self.path)


def place(values: Mapping[str, Any], loc: Loc) -> Place:
    """Follows a canonical path through a file's values.

    Args:
        values: the file's keys and values.
        loc: canonical path; parts that the file's short form leaves out are stepped over.
    """
    path: list[str | int] = []
    value: Any = values
    index = 0
    while index < len(loc):
        if _holds(value, loc[index]):
            value = value[loc[index]]
            path.append(loc[index])
        elif not (index + 1 < len(loc) and _holds(value, loc[index + 1])):
            break
        index += 1
    return Place(path=tuple(path), value=value, rest=loc[index:])


def wanted(values: Mapping[str, Any], loc: Loc) -> Place:
    """Like ``place``, for a path that a rule speaks of: keys left to their default are added.

    Where a short form stands for the section, the path ends at it.
    """
    found = place(values, loc)
    if not found.rest:
        return found
    if found.path and not isinstance(found.value, Mapping | None):
        return found
    named = tuple(part for part in found.rest if part != "options" and not isinstance(part, int))
    return Place(path=(*found.path, *named), value=None, rest=())


def shown(value: object) -> str:
    """A value as messages repeat it: in YAML's own words, and not too long."""
    if isinstance(value, str):
        text = repr(value)
    else:
        text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= SHOWN_LENGTH else f"{text[:SHOWN_LENGTH]}…"


def _holds(value: Any, key: str | int) -> bool:
    if isinstance(value, Mapping):
        return key in value
    if isinstance(value, list | tuple):
        return isinstance(key, int) and 0 <= key < len(value)
    return False
