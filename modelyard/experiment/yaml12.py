"""YAML by the core schema of version 1.2, with the line of every key.

PyYAML speaks 1.1, where ``on`` is true, ``1e-3`` is text and ``010`` is eight; editors and
people expect 1.2. Its scanner and parser are used, its resolver isn't.

Source of the patterns: YAML 1.2.2, section 10.3.2.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

VALUE_LIMIT = 100_000
"""Most values that a file may come to once its aliases are followed."""

DEPTH_LIMIT = 50
"""Deepest nesting; the deepest of ours is six."""

BITS_LIMIT = 1024
"""Bits of the largest whole number: a float reaches no further, and Python writes out no more than
4,300 digits of one."""

_TOO_DEEP = f"nested deeper than {DEPTH_LIMIT} levels"

Path = tuple[str | int, ...]


class YamlMistake(ValueError):
    """The text can't be read.

    Args:
        message: one sentence.
        line: from 1.
        column: from 1.
    """

    def __init__(self, message: str, line: int | None = None, column: int | None = None) -> None:
        self.message = message
        self.line = line
        self.column = column
        super().__init__(message)


@dataclass(frozen=True, kw_only=True)
class Duplicate:
    """A key that stands twice in one mapping; the second one's path and both lines."""

    path: Path
    line: int
    first_line: int


@dataclass(frozen=True, kw_only=True)
class Parsed:
    """Plain values, where each came from, and the keys that stand twice.

    Args:
        value: what the text says; None for an empty text.
        lines: line from 1 of each key and list item, by path.
        duplicates: keys that stand twice; ``value`` has the first.
    """

    value: Any
    lines: Mapping[Path, int]
    duplicates: tuple[Duplicate, ...]


def parse(text: str) -> Parsed:
    """Reads one YAML document.

    Raises:
        YamlMistake: it is not YAML, has keys that are not text, other tags than the core
            schema's, or grows beyond ``VALUE_LIMIT`` through its aliases.
    """
    try:
        root = yaml.compose(text, Loader=_Core)
        build = _Build()
        value = None if root is None else build.value(root, ())
    except yaml.MarkedYAMLError as error:
        raise _marked(error) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        character = repr(text[error.position : error.position + 1])
        raise YamlMistake(f"the character {character} can't stand in YAML", line) from None
    return Parsed(value=value, lines=build.lines, duplicates=tuple(build.duplicates))


def _marked(error: yaml.MarkedYAMLError) -> YamlMistake:
    """PyYAML's own words, with line and column counted from 1."""
    mark = error.problem_mark or error.context_mark
    begun, context = error.context_mark, error.context
    if (
        context
        and context.startswith("while parsing")
        and begun
        and mark
        and begun.line < mark.line
    ):
        context += f" that begins in line {begun.line + 1}"
    words = ", ".join(part for part in (context, error.problem) if part)
    words = words.replace("'<stream end>'", "the end of the text")
    if r"'\t'" in words:
        words += "; indent with blanks, for YAML takes no tabs there"
    if mark is None:
        return YamlMistake(f"this is not YAML: {words}")
    return YamlMistake(f"this is not YAML: {words}", mark.line + 1, mark.column + 1)


class _Core(yaml.SafeLoader):
    """SafeLoader whose plain scalars are resolved by the core schema, and not too deep."""

    yaml_implicit_resolvers = {}

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """PyYAML's own, which calls itself for each level."""
        self.depth += 1
        if self.depth > DEPTH_LIMIT:
            mark = self.get_mark()
            raise YamlMistake(_TOO_DEEP, mark.line + 1, mark.column + 1)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


_PATTERNS = (
    ("null", r"~|null|Null|NULL|", "~nN"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
        r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+0123456789.",
    ),
)
for _tag, _pattern, _starts in _PATTERNS:
    _Core.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}",
        re.compile(rf"^(?:{_pattern})$"),
        [*_starts, *([""] if _tag == "null" else [])],
    )


def _integer(text: str) -> int:
    base = {"0o": 8, "0x": 16}.get(text[:2], 10)
    return int(text if base == 10 else text[2:], base)


def _real(text: str) -> float:
    return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))


def _text(text: str) -> str:
    r"""Escaped surrogates, as JSON writes them (``"\ud83d\ude00"``), are one character."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16")


_SCALARS: dict[str, Callable[[str], Any]] = {
    "tag:yaml.org,2002:null": lambda _: None,
    "tag:yaml.org,2002:bool": lambda text: text.lower() == "true",
    "tag:yaml.org,2002:int": _integer,
    "tag:yaml.org,2002:float": _real,
    "tag:yaml.org,2002:str": _text,
}

_TAGS: Mapping[type[yaml.Node], Collection[str]] = {
    yaml.ScalarNode: _SCALARS,
    yaml.SequenceNode: ("tag:yaml.org,2002:seq",),
    yaml.MappingNode: ("tag:yaml.org,2002:map",),
}
"""The tags that each kind of node may have."""


@dataclass
class _Build:
    """Turns nodes into values; an alias is followed each time it is met, and counted."""

    lines: dict[Path, int] = field(default_factory=dict)
    duplicates: list[Duplicate] = field(default_factory=list)
    count: int = 0

    def value(self, node: yaml.Node, path: Path) -> Any:
        self.count += 1
        line, column = node.start_mark.line + 1, node.start_mark.column + 1
        if self.count > VALUE_LIMIT:
            raise YamlMistake(f"more than {VALUE_LIMIT} values once aliases are followed", line)
        if len(path) > DEPTH_LIMIT:
            raise YamlMistake(_TOO_DEEP, line, column)
        if node.tag not in _TAGS[type(node)]:
            tag = node.tag.replace("tag:yaml.org,2002:", "!!")
            raise YamlMistake(f"the tag {tag} is not read here", line, column)
        self.lines.setdefault(path, line)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(child, (*path, i)) for i, child in enumerate(node.value)]
        return self._scalar(node, line, column)

    def _scalar(self, node: yaml.Node, line: int, column: int) -> Any:
        try:
            value = _SCALARS[node.tag](node.value)
        except ValueError:
            raise YamlMistake(
                f"{node.value[:60]!r} can't be read as {node.tag[18:]}", line, column
            ) from None
        if isinstance(value, int) and value.bit_length() > BITS_LIMIT:
            raise YamlMistake(
                f"{node.value[:20]}\u2026 is a number of {value.bit_length():,} bits; at most "
                f"{BITS_LIMIT:,} are read",
                line,
                column,
            )
        return value

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            mark = key_node.start_mark
            if key_node.tag != "tag:yaml.org,2002:str":
                raise YamlMistake(
                    f"the key {str(key_node.value)[:60]!r} is not text; put it in quotes",
                    mark.line + 1,
                    mark.column + 1,
                )
            line = mark.line + 1
            key = self._scalar(key_node, line, mark.column + 1)
            here = (*path, key)
            if key in result:
                first = self.lines[here]
                self.duplicates.append(Duplicate(path=here, line=line, first_line=first))
                continue
            self.lines[here] = line
            result[key] = self.value(value_node, here)
        return result
