"""An experiment file as it was written: plain values, and the line of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from modelyard.errors import ExperimentError, InputError, Mistake
from modelyard.experiment import yaml12
from modelyard.experiment.keys import dotted

LIMIT_BYTES = 1_000_000
"""Largest experiment file that is read unless settings say otherwise."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """What a file says, before anybody judged it.

    Args:
        name: the file, for messages.
        values: its keys and values as plain dicts, lists and scalars.
        lines: line from 1 of each key and list item, by dotted path.
        mistakes: keys that stand twice.
    """

    name: str
    values: dict[str, Any]
    lines: Mapping[str, int]
    mistakes: tuple[Mistake, ...] = ()

    def located(self, mistake: Mistake) -> Mistake:
        """The mistake with its line, or that of the nearest key around it."""
        path = mistake.path
        while path and path not in self.lines:
            path = path.rpartition(".")[0]
        return replace(mistake, line=self.lines[path]) if path else mistake


def read_source(path: Path, limit_bytes: int = LIMIT_BYTES) -> Source:
    """Reads an experiment file.

    Args:
        path: the file.
        limit_bytes: a larger file is refused before it is read.

    Raises:
        InputError: no such file, a folder, not readable, or too large.
        ExperimentError: empty, not UTF-8, not YAML, or not a mapping of keys.
    """
    return parse_source(str(path), _decoded(str(path), _content(path, limit_bytes)))


def parse_source(name: str, text: str) -> Source:
    """Reads the text of an experiment file; ``name`` stands for it in messages.

    Raises:
        ExperimentError: empty, not YAML, or not a mapping of keys.
    """
    try:
        parsed = yaml12.parse(text)
    except yaml12.YamlMistake as error:
        at = f" (column {error.column})" if error.column else ""
        raise _refused(name, f"{error.message}{at}", line=error.line) from None
    if parsed.value is None:
        raise _refused(
            name, "the file is empty; `modelyard new baseline FILE` writes one to start from"
        )
    if not isinstance(parsed.value, dict):
        kind = "a list" if isinstance(parsed.value, list) else "a single value"
        raise _refused(name, f"an experiment is a mapping of keys to values, this is {kind}")
    lines = {dotted(path): line for path, line in parsed.lines.items() if path}
    return Source(
        name=name,
        values=parsed.value,
        lines=lines,
        mistakes=tuple(_twice(duplicate) for duplicate in parsed.duplicates),
    )


def _content(path: Path, limit_bytes: int) -> bytes:
    try:
        size = path.stat().st_size
        if path.is_dir():
            raise InputError(f"{path} is a folder; name the experiment file in it")
        if size > limit_bytes:
            raise InputError(
                f"{path} has {size:,} bytes; an experiment file has at most {limit_bytes:,} "
                "(MODELYARD_EXPERIMENT_LIMIT_BYTES). Is it a data file?"
            )
        with path.open("rb") as file:
            content = file.read(limit_bytes + 1)
    except FileNotFoundError:
        raise InputError(f"there is no file {path}{_similar(path)}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path} can't be read: {reason}") from None
    if len(content) > limit_bytes:  # a pipe or device has no size of its own
        raise InputError(f"{path} has more than the {limit_bytes:,} bytes that are read")
    return content


def _similar(path: Path) -> str:
    """What else there is in that folder, when it is a name nearly right."""
    if not path.parent.is_dir():
        return f"; there is no folder {path.parent} either"
    names = [p.name for p in path.parent.iterdir() if p.suffix in (".yaml", ".yml")]
    near = get_close_matches(path.name, names, n=1)
    return f"; did you mean {path.parent / near[0]}?" if near else ""


def _decoded(name: str, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _refused(
            name,
            f"byte {content[error.start]:#04x} is not UTF-8; save the file in that encoding",
            line=line,
        ) from None


def _refused(name: str, message: str, *, line: int | None = None) -> ExperimentError:
    return ExperimentError(name, (Mistake(path="", message=message, line=line),))


def _twice(duplicate: yaml12.Duplicate) -> Mistake:
    return Mistake(
        path=dotted(duplicate.path),
        message=f"the key {str(duplicate.path[-1])!r} stands twice, first in line "
        f"{duplicate.first_line}; keep one of them",
        line=duplicate.line,
    )
