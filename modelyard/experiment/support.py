"""What the file may say already and Modelyard can't do yet: one table.

Such keys are refused with what works now, never ignored. A row leaves the table when the work
behind it is done.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from modelyard.errors import Mistake
from modelyard.experiment.keys import Loc
from modelyard.experiment.model import Experiment
from modelyard.experiment.weights import FORMS
from modelyard.experiment.written import shown, wanted

SOURCES = (
    "sklearn:digits and its like, mnist and its like, a folder of pictures or texts, or a CSV, "
    "Parquet or NPZ file, also at s3://bucket/key"
)


@dataclass(frozen=True, kw_only=True)
class Later:
    """A key with values whose work comes later.

    Args:
        key: dotted path in the model, ``*`` for each item of a list.
        refused: whether a value is one of those.
        values: those values in words, for the reference.
        instead: what is supported now.
    """

    key: str
    refused: Callable[[Any], bool]
    values: str
    instead: str


def _is_in(*values: object) -> Callable[[object], bool]:
    return lambda value: value in values


def _later_source(source: str) -> bool:
    scheme = re.match(r"([a-z][a-z0-9+.-]+)://", source)
    return scheme is not None and scheme[1] != "s3"


def _address(source: str) -> bool:
    return "://" in source


LATER: tuple[Later, ...] = (
    Later(
        key="data.source",
        refused=_later_source,
        values="addresses other than s3://…",
        instead=SOURCES,
    ),
    Later(
        key="model.weights.source",
        refused=_address,
        values="addresses such as s3://…",
        instead=f"a .safetensors file, the folder of a packed model, or {FORMS}",
    ),
    Later(
        key="gates.*.slice",
        refused=bool,
        values="any value",
        instead="gates over the whole test split, so leave the key out",
    ),
    Later(
        key="deploy.target",
        refused=_is_in("kubernetes"),
        values="kubernetes",
        instead="local",
    ),
)
"""Every key that is refused for now, in the file's order."""


def unsupported(experiment: Experiment, raw: Mapping[str, Any]) -> list[Mistake]:
    """One mistake for each value whose work comes later.

    Args:
        experiment: the validated file, or its sound part.
        raw: what stands in the file, for paths and values as the user wrote them.
    """
    found = [
        (later, loc, value)
        for later in LATER
        for loc, value in _values(experiment, (), later.key.split("."))
        if later.refused(value)
    ]
    return [_mistake(later, loc, value, raw) for later, loc, value in found]


def later_values(key: str) -> Later | None:
    """The row of a key, if it has one."""
    return next((later for later in LATER if later.key == key), None)


def _values(value: Any, loc: Loc, parts: list[str]) -> Iterator[tuple[Loc, Any]]:
    """A key's values in an experiment: none where its section is null, several in a list."""
    if not parts or value is None:
        if not parts:
            yield loc, value
        return
    part, *rest = parts
    if part == "*":
        for index, item in enumerate(value):
            yield from _values(item, (*loc, index), rest)
    else:
        yield from _values(getattr(value, part), (*loc, part), rest)


def _mistake(later: Later, loc: Loc, value: Any, raw: Mapping[str, Any]) -> Mistake:
    return Mistake(
        path=wanted(raw, loc).dotted,
        message=f"{shown(value)} is not yet supported; now: {later.instead}",
        value=value,
        valid=_listed(later),
    )


def _listed(later: Later) -> tuple[str, ...]:
    """The supported values where ``instead`` is nothing but a list of them."""
    words = later.instead.replace(" and ", ", ").split(", ")
    return tuple(words) if all(re.fullmatch(r"[\w.-]+", word) for word in words) else ()
