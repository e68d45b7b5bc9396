"""The keys of the experiment file, found by walking its models."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from modelyard.experiment.model import Experiment
from modelyard.experiment.section import Section

Loc = tuple[str | int, ...]
"""A canonical path: keys and indices of the model, whatever short form the file uses."""


def dotted(path: Loc) -> str:
    """A path as messages show it: ``gates.0.metric``."""
    return ".".join(map(str, path))


def fields_of(section: type[BaseModel]) -> dict[str, FieldInfo]:
    """A section's fields by the file's own keys (``register``, not ``register_``)."""
    return {field.alias or name: field for name, field in section.model_fields.items()}


def locate(path: Loc) -> tuple[type[Section], FieldInfo | None]:
    """What a canonical path of the experiment leads to.

    Args:
        path: keys as pydantic reports them: ``("search", "space", "lr", "float", 0)``.

    Returns:
        The section that the path is or lies in, and the field that it is or lies in; None for
        the field when the path ends at an item, or at a key that there isn't.
    """
    section: type[Section] = Experiment
    field: FieldInfo | None = None
    item = False
    for key in path:
        if item:  # an index, or a name that the user chose
            item, field = False, None
            continue
        field = fields_of(section).get(str(key))
        if field is None:
            break
        inner = section_in(field.annotation)
        if inner is None:
            break
        section = inner
        item = _is_container(field.annotation)
    return section, field


def _is_container(annotation: Any) -> bool:
    """Whether sections are items of it, rather than it itself."""
    candidates = (annotation, *get_args(annotation))
    return any(get_origin(candidate) in (tuple, dict) for candidate in candidates)


def section_in(annotation: Any) -> type[Section] | None:
    """The section that an annotation holds: itself, an item of its tuple, a value of its dict."""
    for part in parts(annotation):
        if isinstance(part, type) and issubclass(part, Section):
            return part
    return None


def literals_in(annotation: Any) -> tuple[str, ...]:
    """The values that an annotation's ``Literal`` allows."""
    return tuple(
        str(value)
        for part in parts(annotation)
        if get_origin(part) is Literal
        for value in get_args(part)
    )


def parts(annotation: Any) -> Iterator[Any]:
    """An annotation's types, looking into unions, tuples, dicts and ``Annotated``."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from parts(get_args(annotation)[0])
    elif origin in (Union, types.UnionType, tuple, dict):
        for argument in get_args(annotation):
            yield from parts(argument)
    else:
        yield annotation
