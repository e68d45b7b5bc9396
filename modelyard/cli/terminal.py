"""Where text goes: people's to a console, documents to standard output."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence

from pydantic import TypeAdapter
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from modelyard.contract import Wire
from modelyard.report.tables import Table

PIPE_WIDTH = 10_000
"""Room of what doesn't go to a terminal: lines are as long as they have to be."""

GAP = 2
"""Blanks between two columns of a table."""


def program() -> str:
    """What to type into a shell for this program: its name where that is found, else its path."""
    typed, found = sys.argv[0], shutil.which("modelyard")
    named = found is not None and os.path.realpath(found) == os.path.realpath(typed)
    return "modelyard" if named or os.path.basename(typed) != "modelyard" else shlex.quote(typed)


def console(*, json_output: bool = False) -> Console:
    """The console for people: standard output, or standard error beside a JSON document."""
    made = Console(stderr=json_output)
    if not made.is_terminal:
        made.width = PIPE_WIDTH
    return made


def print_json(document: Wire | Sequence[Wire]) -> None:
    """One JSON document on standard output."""
    if isinstance(document, Wire):
        text = document.model_dump_json(indent=2)
    else:
        text = (
            TypeAdapter(list[Wire])
            .dump_json(list(document), indent=2, serialize_as_any=True)
            .decode()
        )
    sys.stdout.write(text + "\n")


def print_table(table: Table, out: Console) -> None:
    """A table with its title above it, without frames.

    Columns that there is no room for stand below the others, beside the first one again.
    """
    widths = [
        max(cell_len(text) for text in (name, *(row[index] for row in table.rows)))
        for index, name in enumerate(table.columns)
    ]
    out.print()
    out.print(Text(table.title, style="bold"))
    for number, columns in enumerate(_blocks(widths, out.width)):
        if number:
            out.print()
        print_drawn(_drawn(table, columns), out)


def print_drawn(table: RichTable, out: Console) -> None:
    """A table, without the blanks that fill its lines where that is no terminal."""
    if out.is_terminal:
        out.print(table)
        return
    with out.capture() as drawn:
        out.print(table)
    for line in drawn.get().splitlines():
        print_line(line.rstrip(), out)


def _blocks(widths: Sequence[int], room: int) -> Iterator[tuple[int, ...]]:
    """Numbers of the columns that stand side by side, the first one in each."""
    block: tuple[int, ...] = (0,)
    used = widths[0]
    for index, width in enumerate(widths[1:], 1):
        if used + GAP + width > room and len(block) > 1:
            yield block
            block, used = (0,), widths[0]
        block, used = (*block, index), used + GAP + width
    yield block


def _drawn(table: Table, columns: Sequence[int]) -> RichTable:
    drawn = RichTable(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="bold")
    for index in columns:
        right = all(_numeric(row[index]) for row in table.rows)
        name = Text(table.columns[index])
        drawn.add_column(name, justify="right" if right else "left", overflow="fold")
    for row in table.rows:
        drawn.add_row(*(Text(row[index]) for index in columns))
    return drawn


def print_line(line: str, out: Console) -> None:
    """A line as it is: no markup, never broken, so that it can be pasted."""
    out.print(line, markup=False, highlight=False, soft_wrap=True)


def _numeric(cell: str) -> bool:
    bare = cell.removesuffix("%").replace(".", "", 1).replace("e-", "", 1).lstrip("-")
    return cell in ("", "·") or bare.isdigit()
