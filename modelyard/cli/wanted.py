"""What was typed behind ``modelyard run``."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from modelyard.cli.terminal import program


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What was typed.

    Args:
        on: ``local`` or ``cluster``; None for where runs go by themselves.
    """

    file: Path
    sets: tuple[str, ...] = ()
    go_on: bool = False
    on: str | None = None
    json_output: bool = False

    @property
    def line_to_go_on(self) -> str:
        """The command that does what is missing."""
        sets = [word for pair in self.sets for word in ("--set", pair)]
        on = [] if self.on is None else ["--on", str(self.on)]
        return f"{program()} {shlex.join(['run', str(self.file), *sets, *on, '--continue'])}"
