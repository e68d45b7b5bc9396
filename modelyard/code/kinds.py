"""What an argument of a class takes, by its annotation and its default, read and never run."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelyard.contract import Scalar

SCALARS: Mapping[str, type] = {"int": int, "float": float, "str": str, "bool": bool}


@dataclass(frozen=True, kw_only=True)
class Kind:
    """The values that an argument takes.

    Args:
        type: ``object`` where nothing says which.
        optional: None is a value too.
        choices: all values, where the annotation is a ``Literal``.
    """

    type: type = object
    optional: bool = False
    choices: tuple[Scalar, ...] | None = None


def kind_of(annotation: ast.expr) -> Kind | None:
    """The kind that an annotation means; None for one that no trial's parameter can be."""
    match annotation:
        case ast.Constant(value=None):
            return Kind(type=type(None), optional=True)
        case ast.Constant(value=str() as text):
            return _quoted(text)
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return Kind(type=SCALARS[name]) if name in SCALARS else _vague(name)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _either(kind_of(left), kind_of(right))
        case ast.Subscript(value=ast.Name(id=name) | ast.Attribute(attr=name), slice=inner):
            return _subscript(name, inner)
    return None


def kind_of_default(value: Scalar) -> Kind:
    """The kind that a default suggests where no annotation says it.

    0 and 1 are written for fractions as well as for whole numbers, so they may be either.
    """
    if value is None:
        return Kind(optional=True)
    if type(value) is int and value in (0, 1):
        return Kind(type=float)
    return Kind(type=type(value))


def scalar_of(node: ast.expr, constants: Mapping[str, ast.expr]) -> tuple[bool, Any]:
    """The value that a default is written as.

    Args:
        node: the default.
        constants: plain assignments of the module, by name.

    Returns:
        Whether it could be read and is a scalar, and the value.
    """
    if isinstance(node, ast.Name):
        node = constants.get(node.id, node)
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, MemoryError, RecursionError):
        return False, None
    return isinstance(value, bool | int | float | str | None), value


def _vague(name: str) -> Kind | None:
    return Kind(optional=True) if name == "Any" else None


def _quoted(text: str) -> Kind | None:
    try:
        return kind_of(ast.parse(text, mode="eval").body)
    except SyntaxError:
        return None


def _subscript(name: str, inner: ast.expr) -> Kind | None:
    parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
    if name == "Optional":
        return _either(kind_of(inner), Kind(type=type(None), optional=True))
    if name == "Union":
        return _either(*(kind_of(part) for part in parts))
    if name in ("Annotated", "Final"):
        return kind_of(parts[0])
    if name != "Literal":
        return None
    values = [scalar_of(part, {}) for part in parts]
    if not all(readable for readable, _ in values):
        return None
    kinds = {type(value) for _, value in values if value is not None}
    return Kind(
        type=kinds.pop() if len(kinds) == 1 else object,
        optional=any(value is None for _, value in values),
        choices=tuple(value for _, value in values),
    )


def _either(*kinds: Kind | None) -> Kind | None:
    """What takes any of several; a list beside a number can still be given as a number."""
    known = [kind for kind in kinds if kind is not None]
    if not known:
        return None
    types = {kind.type for kind in known} - {type(None)}
    if types == {int, float}:
        types = {float}
    choices = [kind.choices for kind in known if kind.type is not type(None)]
    every = [value for some in choices for value in some or ()]
    return Kind(
        type=types.pop() if len(types) == 1 else object,
        optional=any(kind.optional for kind in known),
        choices=tuple(every) if choices and all(choices) else None,
    )
