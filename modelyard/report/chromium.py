"""PNG files of figures, by a Chromium of this machine where there is one."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
"""Programs that are looked for on PATH, in this order."""

WIDTH = 1040
SECONDS = 120
"""Longest that one picture may take."""

QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)
"""It shows a page of ours from a file, and has no business with the network or with root."""


class NoPicture(Exception):
    """Chromium made no file. Says what it said."""


def find_chromium() -> str | None:
    """The path of a Chromium, None where there is none on PATH."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


def write_png(program: str, figure: go.Figure, file: Path) -> None:
    """Draw a figure into a PNG.

    Args:
        program: from ``find_chromium``.
        figure: with its height.
        file: to write.

    Raises:
        NoPicture: it failed, or took longer than ``SECONDS``.
    """
    with tempfile.TemporaryDirectory(prefix="modelyard-", ignore_cleanup_errors=True) as scratch:
        shown = Path(scratch) / "figure.html"
        width = int(figure.layout.width or WIDTH)
        body = figure.to_html(
            full_html=False,
            include_plotlyjs=False,
            auto_play=False,
            config={"displayModeBar": False},
            default_width=f"{width}px",
        )
        shown.write_text(
            '<meta charset="utf-8"><style>body{margin:0;background:#fff}</style>'
            f"<script>{get_plotlyjs()}</script>{body}",
            encoding="utf-8",
        )
        arguments = (
            *QUIET,
            f"--user-data-dir={scratch}/profile",
            f"--window-size={width},{int(figure.layout.height)}",
            "--virtual-time-budget=3000",
            f"--screenshot={file.absolute()}",
            shown.as_uri(),
        )
        _run(program, arguments)
    if not file.is_file():
        raise NoPicture(f"{program} wrote no {file.name}")


def _run(program: str, arguments: tuple[str, ...]) -> None:
    try:
        done = subprocess.run(
            (program, *arguments),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise NoPicture(f"{program} took longer than {SECONDS} s") from error
    except OSError as error:
        raise NoPicture(f"{program}: {error.strerror}") from error
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise NoPicture(f"{program} ended with {done.returncode}: {last}")
