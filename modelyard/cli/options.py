"""Arguments and options that several commands take. Light: read by every start of the program."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Target(StrEnum):
    """Where a run's trials are."""

    LOCAL = "local"
    CLUSTER = "cluster"


File = Annotated[Path, typer.Argument(help="The experiment file.", show_default=False)]
Sweep = Annotated[
    str | None,
    typer.Argument(help="Name (its newest sweep) or sweep id; left out, the newest of all."),
]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override a key of the file, as in --set budget.trials=12; repeatable.",
    ),
]
Where = Annotated[
    Target | None,
    typer.Option(
        "--on", help="Where the trials run; left out, on the cluster if MODELYARD_SERVER is set."
    ),
]
On = Annotated[
    Target | None,
    typer.Option(help="Whose server is asked; left out, the cluster's if MODELYARD_SERVER is set."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
