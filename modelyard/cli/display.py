"""The progress of a run: drawn in place on a terminal, as plain lines everywhere else."""

from __future__ import annotations

import time
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from modelyard.api import STAGES, StageState, StageView, SweepView
from modelyard.cli import words

LINE_SECONDS = 5.0
"""Shortest time between two plain lines about the same stage."""


class Display(Protocol):
    """Shows a run while it goes on."""

    def say(self, sentence: str) -> None:
        """A sentence that stays."""

    def show(self, view: SweepView) -> None:
        """The sweep as it is now."""

    def close(self) -> None:
        """Nothing more changes."""


def display_for(console: Console, metric: str) -> Display:
    """The display that suits where the output goes.

    Args:
        console: of the human's text.
        metric: name of the first objective.
    """
    if console.is_terminal and not console.is_dumb_terminal:
        return LiveDisplay(console, metric)
    return PlainDisplay(console, metric)


class PlainDisplay:
    """Lines without control codes: what began, what ended, and now and then how far it is."""

    def __init__(self, console: Console, metric: str) -> None:
        self._console, self._metric = console, metric
        self._ended: set[str] = set()
        self._notes: set[str] = set()
        self._reasons: set[str] = set()
        self._news = ""
        self._line, self._due = "", 0.0

    def say(self, sentence: str) -> None:
        """A sentence that stays."""
        self._console.print(sentence, markup=False, highlight=False, soft_wrap=True)

    def show(self, view: SweepView) -> None:
        """Print what is new."""
        for note in view.notes:
            if note not in self._notes:
                self._notes.add(note)
                self.say(note)
        for stage in view.stages:
            self._show_stage(stage, view)
        self._show_waiting(view)

    def close(self) -> None:
        """Nothing is left to be done."""

    def _show_waiting(self, view: SweepView) -> None:
        """Once for each reason: with every trial that comes or goes their number changes."""
        reasons = [_reason(line) for line in words.waiting(view)]
        for line, reason in zip(words.waiting(view), reasons, strict=True):
            if reason not in self._reasons:
                self.say(line)
        self._reasons = set(reasons)
        if words.news(view) not in ("", self._news):
            self.say(words.news(view))
        self._news = words.news(view)

    def _show_stage(self, stage: StageView, view: SweepView) -> None:
        if stage.stage in self._ended:
            return
        if stage.stage == "sweep":
            self._show_sweep(view, final=stage.state is not StageState.RUNNING)
        if stage.state is not StageState.RUNNING:
            self._ended.add(stage.stage)
            self.say(words.stage_line(stage))

    def _show_sweep(self, view: SweepView, *, final: bool) -> None:
        line, now = words.sweep_line(view, self._metric), time.monotonic()
        if line != self._line and (final or now >= self._due):
            self._line, self._due = line, now + LINE_SECONDS
            self.say(line)


class LiveDisplay:
    """A picture that is drawn anew four times a second: stages, progress bar, best, forecast."""

    def __init__(self, console: Console, metric: str) -> None:
        self._console, self._metric = console, metric
        self._view: SweepView | None = None
        self._received = 0.0
        self._notes: set[str] = set()
        self._live = Live(
            console=console,
            get_renderable=self._picture,
            refresh_per_second=4,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()

    def say(self, sentence: str) -> None:
        """A sentence that stays above the picture."""
        self._console.print(sentence, markup=False, highlight=False, soft_wrap=True)

    def show(self, view: SweepView) -> None:
        """Draw the sweep from now on as it is now."""
        self._view, self._received = view, time.monotonic()
        for note in view.notes:
            if note not in self._notes:
                self._notes.add(note)
                self.say(note)

    def close(self) -> None:
        """Leave the last picture standing."""
        self._live.stop()

    def _picture(self) -> RenderableType:
        view = self._view
        if view is None:
            return Text("starting …", style="dim")
        passed = time.monotonic() - self._received
        grid = Table.grid(padding=(0, 2))
        for name in STAGES:
            stage = words.stage_of(view, name)
            grid.add_row(*_stage_row(name, stage, passed))
            if name == "sweep" and stage is not None:
                grid.add_row("", "", "", _sweep_picture(view, stage, self._metric, passed))
        waits = [line for line in (*words.waiting(view), words.news(view)) if line]
        return Group(grid, *(Text(line, style="yellow") for line in waits))


def _reason(line: str) -> str:
    """A line about waiting without its number of trials."""
    return line.partition(": ")[2] or line


def _stage_row(
    name: str, stage: StageView | None, passed_seconds: float
) -> tuple[Text, Text, Text, Text]:
    if stage is None:
        return Text("·", style="dim"), Text(name, style="dim"), Text(""), Text("")
    if stage.state is StageState.RUNNING:
        seconds = words.duration(stage.seconds + passed_seconds)
        return Text("▸", style="cyan"), Text(name), Text(seconds, justify="right"), Text("")
    good = stage.state is StageState.COMPLETE
    mark = Text("✓", style="green") if good else Text("✗", style="red")
    # Why it failed is said below, once the picture stands still.
    return mark, Text(name), Text(words.duration(stage.seconds), justify="right"), Text("")


def _sweep_picture(
    view: SweepView, stage: StageView, metric: str, passed_seconds: float
) -> RenderableType:
    bar = Table.grid(padding=(0, 1))
    bar.add_row(
        ProgressBar(
            total=max(view.total, 1), completed=min(view.counts.ended, view.total), width=40
        ),
        f"{view.counts.ended}/{view.total}",
    )
    lines = [words.counts(view), words.best(view, metric)]
    if stage.state is StageState.RUNNING:
        lines.append(words.forecast(view, passed_seconds=passed_seconds))
    return Group(bar, *(Text(line) for line in lines if line))
