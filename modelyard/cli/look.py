"""``status``, ``trials``, ``leaderboard`` and ``logs``: what there is to see of a sweep."""

from __future__ import annotations

import sys
from functools import partial
from typing import Literal, cast

from rich.console import Console

from modelyard.api import ENDED, STAGES, LogLine, LogPage, SweepView, TrialView
from modelyard.cli import words
from modelyard.cli.ask import asking
from modelyard.cli.summary import print_evaluation
from modelyard.cli.terminal import console, print_json, print_line, print_table
from modelyard.client import Client
from modelyard.errors import InputError
from modelyard.experiment.similar import did_you_mean, nearest
from modelyard.report import tables
from modelyard.settings import Settings
from modelyard.tasks.trial_table import rows_of

OTHERS = 20
"""How many earlier sweeps ``status`` lists."""


def status_command(sweep: str | None, json_output: bool, on: str | None = None) -> None:
    """Where a sweep stands: stages, trials, best, test metrics and gates.

    Args:
        sweep: name or id; None for the newest.
        json_output: print the ``SweepView``.
        on: see ``ask.asking``.
    """
    with asking(Settings(), on) as client:
        view = client.sweep(sweep)
        if json_output:
            print_json(view)
            return
        metric, _ = _objective(client, view)
        out = console()
        _print_status(view, metric, out)
        if sweep is None:
            _print_others([other for other in client.sweeps() if other.id != view.id], out)


def trials_command(sweep: str | None, json_output: bool, on: str | None = None) -> None:
    """Every trial of a sweep by number.

    Args:
        sweep: name or id; None for the newest.
        json_output: print the list of ``TrialView``.
        on: see ``ask.asking``.
    """
    with asking(Settings(), on) as client:
        view = client.sweep(sweep)
        trials = client.trials(view.id)
    if json_output:
        print_json(trials)
    else:
        print_table(_trials_table(view, trials), console())


def leaderboard_command(
    sweep: str | None, limit: int, json_output: bool, on: str | None = None
) -> None:
    """The best trials of a sweep, best first.

    Args:
        sweep: name or id; None for the newest.
        limit: how many at most.
        json_output: print the list of ``TrialView``.
        on: see ``ask.asking``.
    """
    with asking(Settings(), on) as client:
        view = client.sweep(sweep)
        trials = client.trials(view.id)
        metric, goal = _objective(client, view)
    table = tables.leaderboard(trials, metric=metric, goal=goal, limit=limit)
    if json_output:
        by_number = {str(trial.number): trial for trial in trials}
        print_json([by_number[row[0]] for row in table.rows])
    else:
        print_table(table, console())


def logs_command(
    sweep: str | None,
    task: str | None,
    follow: bool,
    json_output: bool,
    on: str | None = None,
) -> None:
    """What trials and stages printed.

    Args:
        sweep: name or id; None for the newest.
        task: a trial's number or a stage; None for all.
        follow: go on until the sweep has ended.
        json_output: print one ``LogPage``.
        on: see ``ask.asking``.
    """
    if follow and json_output:
        raise InputError("--follow has no end to make one JSON document of; leave out --json")
    with asking(Settings(), on) as client:
        view = client.sweep(sweep)
        if task is not None:
            _refuse_unknown(client, view, task)
        if json_output:
            lines, cursor = _all_lines(client, view.id, task)
            print_json(LogPage(lines=tuple(lines), cursor=cursor))
            return
        out, cursor, quiet = console(), 0, True
        for _ in client.follow(view.id) if follow else (view,):
            lines, cursor = client.patiently(partial(_all_lines, client, view.id, task, cursor))
            quiet = quiet and not lines
            for line in lines:
                print_line(line.text if task else f"{line.task}: {line.text}", out)
        if quiet:
            print(f"{_whose(view, task)} printed nothing", file=sys.stderr)


def _refuse_unknown(client: Client, view: SweepView, task: str) -> None:
    """A trial or stage that there can't be lines of, with those that there are."""
    if task in STAGES:
        return
    last = max((trial.number for trial in client.trials(view.id)), default=-1)
    number = int(task) if task.isdecimal() else -1
    if str(number) == task and (number <= last or view.state not in ENDED):
        return  # of a sweep that goes on, a trial may yet come
    trials = f"trials 0 to {last}" if last >= 0 else "no trials"
    raise InputError(
        f"{view.name}, sweep {view.id}, has no trial or stage {task!r}; there are {trials}, and "
        f"the stages {', '.join(STAGES)}{did_you_mean(nearest(task, STAGES))}"
    )


def _whose(view: SweepView, task: str | None) -> str:
    whole = f"{view.name}, sweep {view.id},"
    if task is None:
        return whole
    return f"{'stage' if task in STAGES else 'trial'} {task} of {whole}"


def _all_lines(
    client: Client, sweep: str, task: str | None, after: int = 0
) -> tuple[list[LogLine], int]:
    """The lines from a cursor to the end, and where that is."""
    lines: list[LogLine] = []
    while True:
        page = client.logs(sweep, task, after)
        if page.cursor == after:
            return lines, after
        lines.extend(page.lines)
        after = page.cursor


def _objective(client: Client, view: SweepView) -> tuple[str, Literal["maximize", "minimize"]]:
    """Name and good direction of the first objective."""
    first = client.document(view.document).experiment["objective"][0]
    return first["metric"], cast(Literal["maximize", "minimize"], first["goal"])


def _print_status(view: SweepView, metric: str, out: Console) -> None:
    message = f": {view.message}" if view.message else ""
    print_line(f"{view.name}, sweep {view.id}: {view.state}{message}", out)
    progress = (words.stage_times(view), words.sweep_line(view, metric))
    for line in (*progress, *words.waiting(view), *view.notes):
        print_line(line, out)
    for stage in view.stages:
        if stage.failure is not None:
            print_line(words.stage_line(stage), out)
    print_evaluation(view, out)


def _print_others(views: list[SweepView], out: Console) -> None:
    """Older sweeps, newest first: names and ids to ask for."""
    if not views:
        return
    rows = tuple(
        (view.id, view.name, view.state.value, f"{view.counts.ended}/{view.total}")
        for view in views[:OTHERS]
    )
    columns = ("sweep", "name", "state", "trials")
    print_table(tables.Table(title="Earlier sweeps", columns=columns, rows=rows), out)


def _trials_table(view: SweepView, trials: list[TrialView]) -> tables.Table:
    rows = rows_of(trials)
    columns = tuple(rows[0]) if rows else ("trial",)
    return tables.Table(
        title=f"{len(rows)} trials of {view.name}, sweep {view.id}",
        columns=columns,
        rows=tuple(tuple(_cell(row[name]) for name in columns) for row in rows),
    )


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
