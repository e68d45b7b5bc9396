"""``modelyard data get``: published sets, downloaded into the folder that they are read from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from modelyard.cli.terminal import console, print_json, print_line
from modelyard.cli.views import DataView
from modelyard.data import download
from modelyard.data.published import PUBLISHED, set_folder
from modelyard.errors import InputError
from modelyard.experiment.places import set_name
from modelyard.experiment.similar import did_you_mean, nearest


def get_command(name: str, json_output: bool) -> None:
    """Downloads a published set, checks it, and says where it lies.

    Args:
        name: as it stands in ``data.source``.
        json_output: print a ``DataView``.

    Raises:
        InputError: there is no such set, or the folder can't be written.
        ModelyardError: it can't be downloaded; says what to put where by hand.
    """
    known = set_name(name)
    if known is None:
        hint = did_you_mean(nearest(name, PUBLISHED))
        raise InputError(f"there is no set {name!r}; there are {', '.join(PUBLISHED)}{hint}")
    folder, out = set_folder(known), console(json_output=json_output)
    print_line(f"{known}: {PUBLISHED[known].title}, {PUBLISHED[known].page}", out)
    with _progress(out) as progress:
        fetched = download.get(known, PUBLISHED[known], folder, progress)
    if json_output:
        print_json(
            DataView(
                name=known,
                folder=str(folder),
                downloaded=fetched.downloaded,
                there=fetched.there,
                unchecked=fetched.unchecked,
            )
        )
        return
    if fetched.there:
        print_line(f"there already: {', '.join(fetched.there)}", out)
    if fetched.downloaded:
        print_line(f"downloaded: {', '.join(fetched.downloaded)}", out)
    if fetched.unchecked:
        print_line(f"no checksum is published of {', '.join(fetched.unchecked)}", out)
    print_line(f"in {folder}; use it as `data: {{source: {known}}}`", out)


@contextmanager
def _progress(out: Console) -> Iterator[download.Progress]:
    """Bars on a terminal; elsewhere a line when a file begins."""
    if not out.is_terminal:
        begun: set[str] = set()

        def say(file: str, _done: int, total: int | None) -> None:
            if file not in begun:
                begun.add(file)
                size = f" ({total:,} bytes)" if total is not None else ""
                print_line(f"downloading {file}{size}", out)

        yield say
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, TransferSpeedColumn(), console=out) as bars:
        tasks = {}

        def draw(file: str, done: int, total: int | None) -> None:
            if file not in tasks:
                tasks[file] = bars.add_task(file, total=total)
            bars.update(tasks[file], completed=done)

        yield draw
