"""``--set KEY=VALUE``: single values of the file, given on the command line."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from modelyard.errors import Mistake
from modelyard.experiment import yaml12
from modelyard.experiment.keys import locate, section_in
from modelyard.experiment.source import Source


def override(source: Source, settings: Sequence[str]) -> Source:
    """The source with single values replaced.

    Args:
        source: the file; it stays as it is.
        settings: ``KEY=VALUE`` each. The key is a dotted path with list items by number, the
            value is YAML: ``budget.trials=12``, ``gates.0.at_least=0.9``, ``deploy=null``.

    Returns:
        The new source. Settings that can't be carried out are among its mistakes; whether a
        key exists is for the model to say.
    """
    values = copy.deepcopy(source.values)
    mistakes = []
    lines = dict(source.lines)
    for setting in settings:
        path, separator, text = setting.partition("=")
        path = path.strip()
        if not separator or not all(path.split(".")):
            mistakes.append(_not_a_setting(setting))
            continue
        try:
            _put(values, path.split("."), yaml12.parse(text).value)
        except yaml12.YamlMistake as error:
            mistakes.append(Mistake(path=path, message=f"--set: {error.message}", value=text))
        except _NoSuchPlace as error:
            mistakes.append(Mistake(path=path, message=f"--set: {error}", value=text))
        else:
            lines = {k: v for k, v in lines.items() if k != path and not k.startswith(f"{path}.")}
    return replace(source, values=values, lines=lines, mistakes=(*source.mistakes, *mistakes))


class _NoSuchPlace(ValueError):
    """A path that leads through a value that holds no others."""


def _not_a_setting(setting: str) -> Mistake:
    return Mistake(
        path="",
        message=f"--set {setting!r} is not KEY=VALUE; write it like --set budget.trials=12",
        value=setting,
    )


def _put(values: dict[str, Any], parts: list[str], value: Any) -> None:
    """Sets one value in place, making the sections on the way."""
    holder: Any = values
    for depth, part in enumerate(parts[:-1]):
        inner = _get(holder, part, parts[:depth])
        if inner is None:
            inner = {}
        elif isinstance(inner, str):
            inner = _expanded(inner, tuple(parts[: depth + 1]))
        _set(holder, part, inner, parts[:depth])
        holder = inner
    _set(holder, parts[-1], value, parts[:-1])


def _expanded(short: str, path: tuple[str, ...]) -> dict[str, Any]:
    """A section's short form written out: ``tpe`` as ``{name: tpe}``."""
    _, field = locate(path)
    section = section_in(field.annotation) if field else None
    if section is None or section.short is None:
        raise _NoSuchPlace(f"{'.'.join(path)} is {short!r}, which has no keys")
    return {section.short: short}


def _get(holder: Any, part: str, path: list[str]) -> Any:
    if isinstance(holder, dict):
        return holder.get(part)
    return holder[_index(holder, part, path)]


def _set(holder: Any, part: str, value: Any, path: list[str]) -> None:
    if isinstance(holder, dict):
        holder[part] = value
    else:
        holder[_index(holder, part, path)] = value


def _index(holder: Any, part: str, path: list[str]) -> int:
    where = ".".join(path)
    if not isinstance(holder, list):
        raise _NoSuchPlace(f"{where} is {holder!r}, which has no keys")
    if part not in map(str, range(len(holder))):
        items = f"0 to {len(holder) - 1}" if holder else "none yet; set the whole list"
        raise _NoSuchPlace(f"{where} is a list: {part!r} is not one of its items ({items})")
    return int(part)
