"""One benchmark figure, and the table of all of them."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Row:
    """One measured figure.

    Args:
        what: what was measured, with its unit.
        ours: the figure of Modelyard.
        goal: the goal in words, empty for a peer that is only shown.
        met: whether the goal was met; None where there is none.
        peers: the same figure of others, measured in the same run, by name.
        note: how it was measured, in a sentence.
    """

    what: str
    ours: str
    goal: str = ""
    met: bool | None = None
    peers: tuple[tuple[str, str], ...] = ()
    note: str = ""


def markdown(rows: Iterable[Row]) -> str:
    """The table as Markdown."""
    lines = ["| what | Modelyard | peers, same run | goal | met |", "|---|---|---|---|---|"]
    for row in rows:
        peers = "<br>".join(f"{name}: {figure}" for name, figure in row.peers) or "–"
        met = {True: "yes", False: "**no**", None: "–"}[row.met]
        what = f"{row.what}<br><small>{row.note}</small>" if row.note else row.what
        lines.append(f"| {what} | {row.ours} | {peers} | {row.goal or '–'} | {met} |")
    return "\n".join(lines)


def machine() -> str:
    """The machine and the versions that the figures hold for, as one sentence."""
    names = ("torch", "optuna", "prefect", "mlflow", "scikit-learn", "lightning", "ray")
    found = []
    for name in names:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} not installed")
    return (
        f"{_processor()}, {os.cpu_count()} cores, {platform.system()}, "
        f"Python {platform.python_version()}; {', '.join(found)}."
    )


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
