"""Reading CSV: UTF-8, the names in its first line, a row in each further one."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice, takewhile
from pathlib import Path
from typing import TextIO

import pyarrow as pa
import pyarrow.csv as pa_csv

from modelyard.data.columns import of_texts
from modelyard.data.sniff import sniff
from modelyard.data.table import Table
from modelyard.data.values import number
from modelyard.errors import DataError

BLOCK_BYTES = 16 << 20
"""Bytes that Arrow parses at a time; no row may be longer."""


@dataclass(frozen=True, kw_only=True)
class Texts:
    """A CSV file's cells as they stand there.

    Args:
        cells: one column of texts for each name.
        separator: between two cells of a row.
        header_lines: lines before the first row.
    """

    cells: pa.Table
    separator: str
    header_lines: int


def read_texts(path: Path, title: str, *, comments: bool = False) -> Texts:
    """All cells of a CSV file, of what training learns from as of what is to be predicted.

    Separated by commas, or by ``;``, tabs or ``|`` where the first line has no comma.

    Args:
        path: the file.
        title: what messages call it.
        comments: lines before the names that begin with ``#`` are passed over.

    Raises:
        DataError: names the line, and the column where one is at fault.
    """
    if found := sniff(path):
        raise DataError(f"{title} is not CSV: it is {found}")
    skipped = _comment_lines(path) if comments else 0
    names, separator, lines = _header(path, title, skipped)
    cells = _cells(path, title, names, separator, lines)
    if cells.num_rows == 0:
        raise DataError(f"{title} has no rows, only its first line with {len(names)} names")
    return Texts(cells=cells, separator=separator, header_lines=lines)


def read_csv(path: Path, title: str, *, comments: bool = False) -> Table:
    """All columns of a CSV file; the types are found from the cells. See ``read_texts``."""
    texts = read_texts(path, title, comments=comments)
    cells, separator, lines = texts.cells, texts.separator, texts.header_lines
    in_step = _lines(path, title) - lines == cells.num_rows
    said = {"\t": "tabs"}.get(separator, repr(separator))
    return Table(
        title=title,
        columns={name: of_texts(cells.column(name)) for name in cells.column_names},
        first_line=lines + 1 if in_step else None,
        notes=() if separator == "," else (f"Cells are separated by {said}.",),
    )


def _header(path: Path, title: str, skipped: int) -> tuple[tuple[str, ...], str, int]:
    """Names, separator, and how many lines they take."""
    try:
        with _open(path) as file:
            first = next((line for line in islice(file, skipped, None) if line.strip()), "")
            bare = re.sub('"[^"]*"', "", first)
            separator = next((s for s in ",;\t|" if s in bare), ",")
            file.seek(0)
            reader = csv.reader(islice(file, skipped, None), delimiter=separator)
            names = next((tuple(cell.strip() for cell in row) for row in reader if row), ())
            lines = skipped + reader.line_num
    except csv.Error as error:
        raise DataError(f"{title}, line {skipped + 1} can't be read as CSV: {error}") from error
    for name in names:
        _refuse_bytes(name, f"{title}, line {lines}")
    if not any(names):
        raise DataError(f"{title} is empty: there is no line with the names of columns")
    _refuse_doubles(names, title, lines)
    return names, separator, lines


def _refuse_doubles(names: tuple[str, ...], title: str, line: int) -> None:
    double = next((name for name, count in Counter(names).items() if count > 1), None)
    if double is None:
        return
    places = [str(i) for i, name in enumerate(names, start=1) if name == double]
    named = f"named {double!r}" if double else "without a name"
    is_value = number(double) is not None
    fix = "the first line must hold the names" if is_value else "give each its own name"
    raise DataError(
        f"{title} has {len(places)} columns {named} (the {_and(places)} of line {line}); {fix}",
        value=double,
    )


def _cells(path: Path, title: str, names: tuple[str, ...], separator: str, lines: int) -> pa.Table:
    try:
        return pa_csv.read_csv(
            path,
            read_options=pa_csv.ReadOptions(
                column_names=list(names), skip_rows=lines, block_size=BLOCK_BYTES
            ),
            parse_options=pa_csv.ParseOptions(delimiter=separator, newlines_in_values=True),
            convert_options=pa_csv.ConvertOptions(
                column_types={name: pa.string() for name in names}, strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid as error:
        _explain(path, title, names, separator, lines)
        raise DataError(f"{title} can't be read as CSV: {error}") from error


def _explain(path: Path, title: str, names: tuple[str, ...], separator: str, lines: int) -> None:
    """Find the line that Arrow stumbled over: its own row numbers count otherwise."""
    line, fitted = lines, False
    with _open(path) as file, _long_cells():
        reader = csv.reader(islice(file, lines, None), delimiter=separator)
        try:
            for row in reader:
                start, line = line + 1, lines + reader.line_num
                for name, cell in zip(names, row, strict=False):
                    _refuse_bytes(cell, f"{title}, line {start}, column {name!r}")
                if row and len(row) != len(names):
                    raise DataError(
                        f"{title}, line {start} has {len(row)} cells where the first line has "
                        f"{len(names)} names ({separator.join(row)[:60]!r}); "
                        f"{_fix(row, names, separator, fitted=fitted)}"
                    )
                fitted = fitted or bool(row)
        except csv.Error as error:
            raise DataError(
                f"{title}, line {line + 1} can't be read as CSV: {error}; "
                "is a double quote left open there?"
            ) from error


def _fix(row: list[str], names: tuple[str, ...], separator: str, *, fitted: bool) -> str:
    """What is most likely wrong with a row that has another number of cells than names.

    Args:
        fitted: a row before it had as many.
    """
    if any("\n" in cell for cell in row):
        return "is a double quote left open there?"
    if len(row) == len(names) + 1 and not row[-1]:
        return f"it ends in {separator!r}, which the first line doesn't: take that away"
    quote = f"put cells that hold {separator!r} in double quotes"
    if fitted or len(row) < len(names):
        return quote
    return f"{quote}, and remove {separator.join(names)[:60]!r} if that is no line of names"


@contextmanager
def _long_cells() -> Iterator[None]:
    """Python's reader takes cells as long as Arrow's does."""
    before = csv.field_size_limit(BLOCK_BYTES)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _open(path: Path) -> TextIO:
    """Open for reading; bytes that are not UTF-8 become surrogates."""
    return path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")


def _refuse_bytes(text: str, where: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raw = text.encode("utf-8", "surrogateescape")
        raise DataError(f"{where} is not UTF-8: {raw[:60]!r}; save the file as UTF-8") from None


def _comment_lines(path: Path) -> int:
    """Lines at the start of a file that begin with ``#``."""
    with _open(path) as file:
        return sum(1 for _ in takewhile(lambda line: line.startswith("#"), file))


def _lines(path: Path, title: str) -> int:
    """Lines of a file, the last one with or without its end.

    Raises:
        DataError: a byte is 0, which no text has; names the line.
    """
    count, last = 0, b"\n"
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            if (zero := block.find(b"\0")) >= 0:
                line = count + block.count(b"\n", 0, zero) + 1
                raise DataError(
                    f"{title}, line {line} holds a byte 0, as no text does: it is damaged there, "
                    "or binary; mend it, or leave the column out of the file (data.drop comes too "
                    "late for it)"
                )
            count += block.count(b"\n")
            last = block[-1:]
    return count + (last != b"\n")


def _and(places: list[str]) -> str:
    return f"{', '.join(places[:-1])} and {places[-1]}"
