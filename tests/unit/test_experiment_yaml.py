"""Reading the text of an experiment file: YAML 1.2, line numbers, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelyard.errors import ExperimentError, InputError, Mistake
from modelyard.experiment import yaml12
from modelyard.experiment.source import parse_source, read_source


def refusal(content: bytes, tmp_path: Path) -> Mistake:
    """The one mistake that a file can't be read for."""
    file = tmp_path / "experiment.yaml"
    file.write_bytes(content)
    with pytest.raises(ExperimentError) as caught:
        read_source(file)
    (mistake,) = caught.value.mistakes
    return mistake


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("1.5", 1.5),
        (".5", 0.5),
        ("-.inf", float("-inf")),
        ("010", 10),
        ("0o10", 8),
        ("0x1F", 31),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("yes", "yes"),
        ("on", "on"),
        ("True", True),
        ("null", None),
        ("~", None),
        ("", None),
        ("2024-01-01", "2024-01-01"),
        ("'1'", "1"),
    ],
)
def test_scalars_follow_the_core_schema(text: str, value: object) -> None:
    """Plain scalars mean what YAML 1.2 says: 1e-3 is a number, yes is text, 010 is ten."""
    parsed = yaml12.parse(f"key: {text}").value["key"]
    assert (type(parsed), parsed) == (type(value), value)


@pytest.mark.parametrize("number", ["0x" + "f" * 5000, "0o" + "7" * 7000, "9" * 400, "9" * 5000])
def test_numbers_beyond_every_float_are_refused(number: str) -> None:
    """In a sentence with their place, be they ever so long; Python itself can't write them out."""
    with pytest.raises(ExperimentError, match=r"line 2.*(bits|can't be read as int)") as caught:
        parse_source("f", f"budget:\n  trials: {number}\n")
    assert len(str(caught.value)) < 200


def test_lines_of_keys_and_items_are_kept() -> None:
    """Every key and list item knows its line."""
    source = parse_source("f", "a:\n  b: 1\nc:\n- x\n- {d: 2,\n   e: 3}\n")
    assert source.lines == {"a": 1, "a.b": 2, "c": 3, "c.0": 4, "c.1": 5, "c.1.d": 5, "c.1.e": 6}


def test_a_key_that_stands_twice_is_a_mistake() -> None:
    """Both lines are named, at any depth."""
    source = parse_source("f", "a: 1\nb:\n  c: 1\n  c: 2\na: 3\n")
    assert [(m.path, m.line) for m in source.mistakes] == [("b.c", 4), ("a", 5)]
    assert "first in line 3" in source.mistakes[0].message
    assert source.values == {"a": 1, "b": {"c": 1}}


@pytest.mark.parametrize(
    ("content", "words", "line"),
    [
        (b"", "empty", None),
        (b"# only a comment\n", "empty", None),
        (b"- a\n", "a list", None),
        (b"hello\n", "a single value", None),
        (b"a: 1\nb: [1, 2\n", "begins in line 2, expected", 3),
        (b"a:\n\tb: 1\n", "takes no tabs", 2),
        (b"a: 1\nb: c: d\n", "column 5", 2),
        (b"a: 1\n---\nb: 2\n", "single document", 2),
        (b"a: 1\nb: \xff\n", "not UTF-8", 2),
        (b"a: 1\nb: \x07\n", "can't stand in YAML", 2),
        (b"a: 1\n2: b\n", "'2' is not text", 2),
        (b"a: !!python/object/apply:os.system [ls]\n", "not read here", 1),
        (b"a: !!seq x\n", "!!seq is not read", 1),
        (b"a: !!str {b: c}\n", "!!str is not read", 1),
        (b'a: "\\ud800"\n', "can't be read as str", 1),
        (b"a: !!int x\n", "can't be read as int", 1),
        (b"a: &a [*a]\n", "nested deeper", 1),
        (b"a: " + b"[" * 100_000, "nested deeper", 1),
    ],
)
def test_unreadable_files_say_where(
    content: bytes, words: str, line: int | None, tmp_path: Path
) -> None:
    """What can't be read is refused with its line, and column where there is one."""
    mistake = refusal(content, tmp_path)
    assert words in mistake.message
    assert mistake.line == line


def test_aliases_that_multiply_are_refused(tmp_path: Path) -> None:
    """Nine aliases of nine aliases … is refused before it fills the memory."""
    levels = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    mistake = refusal("\n".join(["a0: &a0 [x]", *levels]).encode(), tmp_path)
    assert "once aliases are followed" in mistake.message


def test_a_large_file_is_refused_unread(tmp_path: Path) -> None:
    """The size, the limit and the setting that raises it are named."""
    file = tmp_path / "data.yaml"
    with file.open("wb") as handle:
        handle.truncate(10_000_000)
    with pytest.raises(InputError, match=r"10,000,000 bytes.*at most 1,000,000.*LIMIT_BYTES"):
        read_source(file)


def test_a_missing_file_names_a_near_one(tmp_path: Path) -> None:
    """A name nearly right is answered with the right one; a folder with what it is."""
    (tmp_path / "churn.yaml").write_text("name: churn")
    with pytest.raises(InputError, match=r"did you mean .*churn\.yaml"):
        read_source(tmp_path / "chrun.yaml")
    with pytest.raises(InputError, match="is a folder"):
        read_source(tmp_path)
    with pytest.raises(InputError, match="there is no folder"):
        read_source(tmp_path / "none" / "churn.yaml")


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    """Files saved by Windows editors are read like all others."""
    file = tmp_path / "a.yaml"
    file.write_bytes(b"\xef\xbb\xbfname: a\n")
    assert read_source(file).values == {"name": "a"}
