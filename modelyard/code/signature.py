"""The parameters of a class, read from its source without running it."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from modelyard.code.errors import OwnCodeError
from modelyard.code.kinds import Kind, kind_of, kind_of_default, scalar_of
from modelyard.contract import Scalar
from modelyard.experiment.similar import did_you_mean, nearest

GIVEN = ("inputs", "outputs")
"""Arguments that Modelyard gives: shape of one example, and classes (1 for a regression)."""


@dataclass(frozen=True, kw_only=True)
class Argument:
    """One argument of a class that a trial may give.

    Args:
        name: as it stands in the signature.
        kind: the values that it takes.
        default: its value where no trial gives one; None also where there is no default.
        required: there is no default.
        opaque: there is one, which can't be told without running the code.
    """

    name: str
    kind: Kind
    default: Scalar = None
    required: bool = False
    opaque: bool = False


def read_signature(path: Path, name: str) -> tuple[Argument, ...]:
    """The arguments of a class in a file, but for ``inputs`` and ``outputs``.

    Raises:
        OwnCodeError: no such file, or what ``parse_signature`` refuses.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        folder = path.parent
        files = tuple(sorted(p.name for p in folder.glob("*.py"))) if folder.is_dir() else ()
        near = nearest(path.name, files)
        raise OwnCodeError(
            f"there is no file {path}{did_you_mean(near)}", valid=files, nearest=near
        ) from None
    except OSError as error:
        raise OwnCodeError(f"{path} can't be read: {error.strerror}") from error
    return parse_signature(content, path.name, name)


def parse_signature(content: bytes, file: str, name: str) -> tuple[Argument, ...]:
    """The arguments of a class in a source, but for ``inputs`` and ``outputs``.

    Args:
        content: of the file.
        file: its name, for messages.
        name: of the class.

    Raises:
        OwnCodeError: it isn't Python, has no such class, or one that can't be built by name with
            ``inputs``, ``outputs`` and scalars.
    """
    tree = _parsed(content, file)
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    if name not in classes:
        raise _no_class(tree, file, name, tuple(classes))
    built = _constructor(classes[name], classes)
    place = f"{file} line {classes[name].lineno}: {name}"
    if built is None:
        raise OwnCodeError(
            f"{place} has no __init__ in this file; it has to take inputs and outputs by name: "
            "def __init__(self, inputs, outputs, …)"
        )
    place = f"{file} line {built.lineno}: {name}"
    spec = built.args
    named = [*spec.args[0 if spec.posonlyargs else 1 :], *spec.kwonlyargs]
    if missing := [given for given in GIVEN if given not in {a.arg for a in named}]:
        raise OwnCodeError(
            f"{place} doesn't take {' and '.join(missing)}; every model is built with inputs, the "
            "shape of one example, and outputs, the number of classes (1 for a number): "
            "def __init__(self, inputs, outputs, …)"
        )
    constants = _constants(tree)
    defaults = _defaults(spec)
    arguments = [
        _argument(argument, defaults.get(argument.arg), constants, place)
        for argument in named
        if argument.arg not in GIVEN
    ]
    _refuse_nameless(spec, defaults, place)
    return tuple(argument for argument in arguments if argument is not None)


def _parsed(content: bytes, file: str) -> ast.Module:
    try:
        return ast.parse(content, file)
    except SyntaxError as error:
        raise OwnCodeError(f"{file} line {error.lineno or 1} is not Python: {error.msg}") from None
    except (ValueError, RecursionError) as error:
        raise OwnCodeError(f"{file} is not Python: {error}") from None


def _no_class(tree: ast.Module, file: str, name: str, classes: tuple[str, ...]) -> OwnCodeError:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom | ast.Import):
            bound = {alias.asname or alias.name for alias in node.names}
            if name in bound:
                return OwnCodeError(
                    f"{file} line {node.lineno} only imports {name}; name the file that defines it"
                )
    has = f"it has {', '.join(classes)}" if classes else "it has no class at all"
    near = nearest(name, classes)
    return OwnCodeError(
        f"{file} has no class {name!r}; {has}{did_you_mean(near)}", valid=classes, nearest=near
    )


def _constructor(node: ast.ClassDef, classes: Mapping[str, ast.ClassDef]) -> ast.FunctionDef | None:
    """The ``__init__`` that a class has, or gets from another class of the same file."""
    seen: list[ast.ClassDef] = []
    waiting = [node]
    while waiting:
        now = waiting.pop(0)
        if now in seen:
            continue
        seen.append(now)
        for item in now.body:
            if isinstance(item, ast.FunctionDef) and item.name == "__init__":
                return item
        names = (base.id for base in now.bases if isinstance(base, ast.Name))
        waiting += [classes[name] for name in names if name in classes]
    return None


def _constants(tree: ast.Module) -> dict[str, ast.expr]:
    """Plain assignments at the module's top: ``HIDDEN = 64``."""
    found: dict[str, ast.expr] = {}
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                found[name] = value
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                found[name] = value
    return found


def _defaults(spec: ast.arguments) -> dict[str, ast.expr]:
    """Default by argument, for those that have one."""
    positional = [*spec.posonlyargs, *spec.args]
    late = positional[len(positional) - len(spec.defaults) :]
    found = {a.arg: default for a, default in zip(late, spec.defaults, strict=True)}
    named = zip(spec.kwonlyargs, spec.kw_defaults, strict=True)
    return {**found, **{a.arg: default for a, default in named if default is not None}}


def _argument(
    argument: ast.arg, default: ast.expr | None, constants: Mapping[str, ast.expr], place: str
) -> Argument | None:
    """None for one that no trial can give, and none needs to."""
    annotation = argument.annotation
    kind = Kind() if annotation is None else kind_of(annotation)
    if default is None:
        if kind is None:
            raise OwnCodeError(
                f"{place} can't be built: its argument {argument.arg} is "
                f"{ast.unparse(annotation) if annotation else 'unknown'} and has no default, but a "
                "trial gives numbers, texts, true and false alone"
            )
        return Argument(name=argument.arg, kind=kind, required=True)
    readable, value = scalar_of(default, constants)
    if kind is None:
        return None
    if annotation is None:
        if readable:
            kind = kind_of_default(value)
        elif not isinstance(default, ast.Name | ast.Attribute | ast.Call | ast.BinOp):
            return None  # a list, say
    if value is None and readable:
        kind = Kind(type=kind.type, optional=True, choices=kind.choices)
    return Argument(
        name=argument.arg, kind=kind, default=value if readable else None, opaque=not readable
    )


def _refuse_nameless(spec: ast.arguments, defaults: Mapping[str, ast.expr], place: str) -> None:
    """Everything is given by name; what can only be given by position is never given."""
    nameless = [a.arg for a in spec.posonlyargs[1:] if a.arg not in defaults]
    if nameless:
        raise OwnCodeError(
            f"{place} can't be built by name: {', '.join(nameless)} can only be given by position"
        )
