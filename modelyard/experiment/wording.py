"""Pydantic's validation errors in the words of the experiment file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

from pydantic_core import ErrorDetails

from modelyard.errors import Mistake
from modelyard.experiment.keys import Loc, fields_of, literals_in, locate, section_in
from modelyard.experiment.similar import as_name, did_you_mean, nearest
from modelyard.experiment.written import Place, place, shown

_BOUNDS = {
    "greater_than": ("gt", "above"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "below"),
    "less_than_equal": ("le", "at most"),
}

_KINDS = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "finite_number": "a finite number",
    "dict_type": "a mapping of keys to values",
    "model_type": "a mapping of keys to values",
    "tuple_type": "a list",
}

_SCALAR = {"bool_type", "int_type", "float_type", "string_type"}
"""What a scalar that is none of them is told; one wrong value gives all four."""

HIDDEN = "…"
"""What stands for a value that isn't shown."""

_PRIVATE = ("resources.env",)
"""Keys whose values may be secrets: they are never repeated."""


def translate(values: Mapping[str, Any], errors: Iterable[ErrorDetails]) -> tuple[Mistake, ...]:
    """Mistakes of an experiment's shape, one for each place, in the file's order.

    Args:
        values: what was validated.
        errors: pydantic's errors about it.
    """
    groups: dict[tuple[Loc, bool], list[ErrorDetails]] = {}
    for error in errors:
        found = place(values, _without_missing(error))
        groups.setdefault((found.path, error["type"] == "missing"), []).append(error)
    deeper = [path for path, _ in groups]
    return tuple(
        mistake
        for (path, _), group in groups.items()
        if not _follows_from_another(path, group, deeper)
        for mistake in _mistakes(values, group)
    )


def _without_missing(error: ErrorDetails) -> Loc:
    return error["loc"][:-1] if error["type"] == "missing" else error["loc"]


def _follows_from_another(path: Loc, group: Sequence[ErrorDetails], others: list[Loc]) -> bool:
    """A list counts as too short when its items have mistakes: only those are told."""
    return all(error["type"] == "too_short" for error in group) and any(
        len(other) > len(path) and other[: len(path)] == path for other in others
    )


def _mistakes(values: Mapping[str, Any], group: list[ErrorDetails]) -> list[Mistake]:
    first = group[0]
    found = place(values, _without_missing(first))
    if first["type"] == "missing":
        return [_missing(found, error) for error in group]
    if first["type"] == "extra_forbidden":
        return [_unknown_key(found, first)]
    _, field = locate(first["loc"])
    valid = _valid(group, field.annotation if field else None)
    near = nearest(found.value, valid) if isinstance(found.value, str) else None
    hidden = found.dotted.startswith(_PRIVATE)
    message = _message(found, group, HIDDEN if hidden else shown(found.value))
    return [
        Mistake(
            path=found.dotted,
            message=message + did_you_mean(near or _like(found, first)),
            value=None if hidden else found.value,
            valid=valid,
            nearest=near,
        )
    ]


def _like(found: Place, error: ErrorDetails) -> str | None:
    """A name of the form asked for that is like one that isn't."""
    if error["type"] != "string_pattern_mismatch" or found.path not in (("name",), ("project",)):
        return None
    return as_name(found.value) or None


def _missing(parent: Place, error: ErrorDetails) -> Mistake:
    key = error["loc"][-1]
    if isinstance(key, int):  # a pair of bounds with one of them
        return Mistake(
            path=parent.dotted,
            message=f"{shown(parent.value)} has to be two values, [lowest, highest]",
            value=parent.value,
        )
    section, field = locate(error["loc"])
    inner = section_in(field.annotation) if field else None
    text = (field.description if field else "") or ""
    if inner is not None:
        text = f"{text} Its keys: {', '.join(fields_of(inner))}."
    return Mistake(
        path=".".join(str(part) for part in (*parent.path, key)),
        message=f"the key {key!r} is required. {text}".strip(),
        valid=() if inner is not None or section is None else _valid([], None),
    )


def _unknown_key(found: Place, error: ErrorDetails) -> Mistake:
    section, _ = locate(error["loc"])
    key = str(error["loc"][-1])
    valid = tuple(fields_of(section))
    near = nearest(key, valid)
    hint = did_you_mean(near)
    return Mistake(
        path=found.dotted,
        message=f"unknown key {key!r}{hint} Valid keys: {', '.join(valid)}"
        if hint
        else f"unknown key {key!r}; valid keys: {', '.join(valid)}",
        value=key,
        valid=valid,
        nearest=near,
    )


def _valid(group: Sequence[ErrorDetails], annotation: Any) -> tuple[str, ...]:
    """The values that would do, where they can be listed."""
    if annotation is not None and any(e["type"] == "literal_error" for e in group):
        return literals_in(annotation)
    return ()


def _message(found: Place, group: Sequence[ErrorDetails], value: str) -> str:
    if any(error["type"] == "literal_error" for error in group):
        # Beside the values that are listed, a form that is taken too is no help.
        group = [error for error in group if error["type"] != "string_pattern_mismatch"]
    types = {error["type"] for error in group}
    first = group[0]
    if found.value is None and types <= _KINDS.keys() | {"literal_error"}:
        return f"is empty; give {_expected(group)}, or leave the key out"
    if "finite_number" in types:
        return f"{value} is not a finite number"
    if first["type"] == "value_error":
        return str(first.get("ctx", {}).get("error", first["msg"]))
    bounds = [error for error in group if error["type"] in _BOUNDS]
    if bounds:
        key, word = _BOUNDS[bounds[0]["type"]]
        return f"{value} is out of range; it has to be {word} {bounds[0]['ctx'][key]}"
    if first["type"] in ("too_long", "too_short", "string_too_short"):
        return _length(first, value)
    if first["type"] == "string_pattern_mismatch":
        _, field = locate(first["loc"])
        described = (field.description if field else None) or first["msg"]
        return f"{value} doesn't have the form asked for: {described.rstrip('.')}"
    if types <= _KINDS.keys() | {"literal_error"}:
        hint = "" if value == HIDDEN else _quoting(found.value, types) or _keys(first)
        return f"{value} is not {_expected(group)}{hint}"
    return f"{value}: {first['msg']}"


def _expected(group: Sequence[ErrorDetails]) -> str:
    types = {error["type"] for error in group}
    if types >= _SCALAR:
        return "a single value (a number, text, true or false)"
    words = [
        _one_of(re.findall(r"'([^']*)'", error["ctx"]["expected"]))
        if error["type"] == "literal_error"
        else _KINDS[error["type"]]
        for error in group
    ]
    return " or ".join(dict.fromkeys(words))


def _one_of(values: list[str]) -> str:
    return values[0] if len(values) == 1 else f"one of {', '.join(values)}"


def _quoting(value: object, types: set[str]) -> str:
    """How to write what was probably meant."""
    if types == {"string_type"} and isinstance(value, bool | int | float):
        return f'; write it in quotes: "{value}"'
    if isinstance(value, str) and types & {"int_type", "float_type"} and _is_number(value):
        return "; write the number without quotes"
    if types == {"tuple_type"}:
        return f"; write it in brackets: [{value}]"
    return ""


def _keys(error: ErrorDetails) -> str:
    """What can stand in a section that was given a single value or a list."""
    if error["type"] not in ("model_type", "dict_type"):
        return ""
    _, field = locate(error["loc"])
    section = None if field is None else section_in(field.annotation)
    if field is None or section is None:
        return ""
    null = ", or write null" if type(None) in get_args(field.annotation) else ""
    return f"; its keys are {', '.join(fields_of(section))}{null}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _length(error: ErrorDetails, value: str) -> str:
    if error["type"] == "string_too_short" or value in ("[]", "()"):
        return "is empty; give a value"
    return f"{value} has to be two values, [lowest, highest]"
