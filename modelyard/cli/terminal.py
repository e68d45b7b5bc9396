"""Where text goes: people's to a console, documents to standard output."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from pydantic import TypeAdapter
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from modelyard.contract import Wire
from modelyard.report.tables import Table

PIPE_WIDTH = 120
"""Columns of a table that doesn't go to a terminal."""


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
    """A table with its title above it, without frames."""
    drawn = RichTable(title=None, box=None, padding=(0, 2, 0, 0), header_style="bold")
    for index, name in enumerate(table.columns):
        right = all(_numeric(row[index]) for row in table.rows)
        drawn.add_column(Text(name), justify="right" if right else "left", no_wrap=True)
    for row in table.rows:
        drawn.add_row(*(Text(cell) for cell in row))
    out.print()
    out.print(Text(table.title, style="bold"))
    out.print(drawn)


def print_line(line: str, out: Console) -> None:
    """A line as it is: no markup, never broken, so that it can be pasted."""
    out.print(line, markup=False, highlight=False, soft_wrap=True)


def _numeric(cell: str) -> bool:
    bare = cell.removesuffix("%").replace(".", "", 1).replace("e-", "", 1).lstrip("-")
    return cell in ("", "·") or bare.isdigit()
