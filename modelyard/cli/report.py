"""``report``: a model's pictures as one HTML page, and as PNG files."""

from __future__ import annotations

import os
import tempfile
import webbrowser
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from modelyard.api import StageState, SweepView
from modelyard.cli.ask import asking
from modelyard.cli.terminal import console, print_json, print_line
from modelyard.cli.views import ReportView
from modelyard.client import Client
from modelyard.contract import Metrics, TrialResult
from modelyard.errors import InputError
from modelyard.report.chromium import NoPicture, find_chromium, write_png
from modelyard.report.gather import ROLES, Subject, gather, subject_of
from modelyard.report.material import Material
from modelyard.report.page import page
from modelyard.report.pictures import Drawn, draw
from modelyard.settings import Settings

PAGE = "report.html"

BROWSERS = 2
"""Most Chromiums at once; each takes a core and 200 MB for some seconds."""

NO_CHROMIUM = "no Chromium was found on PATH, so there are no PNG files"


class ServerSource:
    """See ``gather.Source``: one sweep of a server.

    Args:
        client: asked.
        sweep: its id.
        folder: for fetched files.
    """

    def __init__(self, client: Client, sweep: str, folder: Path) -> None:
        self._client = client
        self._sweep = sweep
        self._folder = folder

    def result(self, task: str) -> TrialResult | None:
        """See ``Source``."""
        return self._client.task_result(self._sweep, task)

    def metrics(self, task: str) -> Sequence[Metrics]:
        """See ``Source``."""
        return self._client.task_metrics(self._sweep, task)

    def folder(self, task: str, role: str) -> Path:
        """See ``Source``."""
        folder = self._folder / task / role
        folder.mkdir(parents=True, exist_ok=True)
        for name in ROLES[role]:
            content = self._client.task_file(self._sweep, task, role, name)
            (folder / name).write_bytes(content)
        return folder


def report_command(
    sweep: str | None,
    trial: int | None,
    out: Path | None,
    open_page: bool,
    json_output: bool,
    on: str | None = None,
) -> None:
    """Write the report on a sweep's model, or on one of its trials.

    Args:
        sweep: name or id; None for the newest.
        trial: None for the sweep's model, or its best trial so far.
        out: folder to write to; made where it isn't there.
        open_page: show it in a browser.
        json_output: print the ``ReportView``.
        on: see ``ask.asking``.
    """
    with asking(Settings(), on) as client, tempfile.TemporaryDirectory() as scratch:
        view = client.sweep(sweep)
        subject = _subject(client, view, trial)
        material = gather(ServerSource(client, view.id, Path(scratch)), subject)
    which = "" if trial is None else f"-{trial}"
    folder = out or Path(f"{view.name}{which}-report")
    written = write_report(material, folder)
    if json_output:
        print_json(written)
    else:
        _say(written)
    if open_page:
        webbrowser.open((folder / PAGE).absolute().as_uri())


def write_report(material: Material, folder: Path) -> ReportView:
    """Draw everything and write page and pictures; a picture that fails is told, and no more.

    Args:
        folder: made where it isn't there.

    Raises:
        InputError: nothing can be written there.
    """
    drawn = draw(material)
    file = folder / PAGE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text(page(material, drawn), encoding="utf-8")
    except OSError as error:
        raise InputError(f"{folder} can't be written to: {error.strerror}") from error
    problems = [f"{one.picture.title}: {one.problem}" for one in drawn if one.problem]
    pictures, failed = _pictures(drawn, folder)
    return ReportView(
        page=str(file),
        pictures=tuple(map(str, pictures)),
        problems=(*material.problems, *problems, *failed),
    )


def _subject(client: Client, view: SweepView, trial: int | None) -> Subject:
    stages = {one.stage: one.outcome for one in view.stages if one.state is StageState.COMPLETE}
    if trial is not None and trial not in {one.number for one in client.trials(view.id)}:
        raise InputError(f"sweep {view.id} has no trial {trial}; it has {view.counts.ended} ended")
    subject = subject_of(
        view.name,
        client.document(view.document).experiment,
        stages,
        trial=trial,
        best=view.best.number if view.best else None,
    )
    if subject is None:
        raise InputError(f"no trial of sweep {view.id} is complete yet, so there is no model")
    return subject


def _pictures(drawn: Sequence[Drawn], folder: Path) -> tuple[list[Path], list[str]]:
    """The PNG files, and why others aren't there."""
    for each in drawn:
        (folder / f"{each.picture.name}.png").unlink(missing_ok=True)  # an earlier report's
    program = find_chromium()
    if program is None:
        return [], [NO_CHROMIUM]

    def one(picture: Drawn) -> Path | str:
        file = folder / f"{picture.picture.name}.png"
        try:
            write_png(program, picture.figure, file)
        except NoPicture as error:
            return f"{file.name}: {error}"
        return file

    with ThreadPoolExecutor(max_workers=min(BROWSERS, os.cpu_count() or 1)) as pool:
        found = list(pool.map(one, (picture for picture in drawn if picture.figure is not None)))
    files = [each for each in found if isinstance(each, Path)]
    return files, [each for each in found if isinstance(each, str)]


def _say(written: ReportView) -> None:
    out = console()
    count = len(written.pictures)
    beside = f", with {count} PNG files beside it" if count else ""
    print_line(f"{written.page}{beside}", out)
    for problem in written.problems:
        print_line(problem, out)
