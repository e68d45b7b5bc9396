"""Finds the servers of this home, or starts them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from modelyard.cli import programs
from modelyard.cli.programs import HOST, Program
from modelyard.errors import ModelyardError, ServerUnreachable
from modelyard.local import services
from modelyard.local.ports import free_port
from modelyard.local.services import Service
from modelyard.settings import Paths, Settings

TAIL_LINES = 12
"""Lines of a log that are shown when its program doesn't come up."""

LINE_LENGTH = 400
"""Characters of each that are shown; the log itself is named."""


PORT_TRIES = 10
"""Starts of a server that finds its port taken by somebody who was quicker: more than homes that
start at once."""


@dataclass(frozen=True, kw_only=True)
class Attached:
    """A server that answers; ``started`` when it was this process that started it."""

    service: Service
    started: bool


def attach_server(
    settings: Settings, run: str | None, say: Callable[[str], None] | None = None
) -> Attached:
    """Our own server; see ``attach``."""
    return attach(programs.server(), settings, run, say)


def attach_prefect(
    settings: Settings, run: str | None, say: Callable[[str], None] | None = None
) -> Attached:
    """The Prefect server; see ``attach``.

    Its home becomes ready with its first answer. One whose first start was cut off may hold
    half a database and nothing of worth, so it is made anew.
    """
    paths = settings.paths
    whole = paths.prefect / ".whole"
    with services.lock("prefect-home", paths):
        if services.running("prefect", paths) is None and not whole.exists():
            shutil.rmtree(paths.prefect, ignore_errors=True)
            paths.prefect.mkdir(parents=True)
        attached = _begin(programs.prefect(paths), settings, run, say)
    attached = _ready(programs.prefect(paths), attached, settings, run, say)
    whole.touch()
    return attached


def attach(
    program: Program,
    settings: Settings,
    run: str | None,
    say: Callable[[str], None] | None = None,
) -> Attached:
    """The running server of this home, or a new one; returns once it answers.

    Args:
        program: which server.
        run: id of the ``modelyard run`` that a new one belongs to; None for one that stays,
            and then one that runs already stays too.
        say: told a sentence when one is started.

    Raises:
        InputError: the home folder can't be written.
        ModelyardError: it didn't come up; holds the end of its log.
    """
    return _ready(program, _begin(program, settings, run, say), settings, run, say)


def _begin(
    program: Program, settings: Settings, run: str | None, say: Callable[[str], None] | None
) -> Attached:
    paths = settings.paths
    with services.lock(program.name, paths):
        found = services.running(program.name, paths)
        if found is not None:
            if run is None and found.run is not None:
                found = services.keep(found, paths)
            return Attached(service=found, started=False)
        port = free_port(program.port, HOST)
        if say is not None:
            taken = "" if port == program.port else f" (port {program.port} is taken)"
            say(f"starting the {program.title} on port {port}{taken}")
        service = services.start(
            program.name,
            program.argv(port),
            env=program.env(port, settings),
            address=f"http://{HOST}:{port}",
            run=run,
            paths=paths,
        )
    return Attached(service=service, started=True)


def _ready(
    program: Program,
    attached: Attached,
    settings: Settings,
    run: str | None,
    say: Callable[[str], None] | None,
) -> Attached:
    """Wait until it answers; one whose port was taken meanwhile is started on another."""
    for left in reversed(range(PORT_TRIES)):
        service = attached.service
        url = service.address + program.health
        try:
            services.wait_ready(url, settings.start_seconds, service=service)
            break
        except ServerUnreachable as error:
            # Whoever has the port may not answer yet, or nothing that we would understand.
            if left and not services.alive(service) and not _is_free(service):
                attached = _begin(program, settings, run, say)
                continue
            raise ModelyardError(
                f"the {program.title} did not come up: {error}"
                f"{log_tail(program.name, settings.paths)}"
            ) from error
    return attached


def _is_free(service: Service) -> bool:
    port = urlsplit(service.address).port
    return free_port(port, HOST) == port


def log_tail(name: str, paths: Paths, lines: int = TAIL_LINES) -> str:
    """The end of a service's log under its file's name, as lines to print; empty without one."""
    file: Path = paths.log(name)
    try:
        text = file.read_bytes()[-20_000:].decode(errors="replace")
    except OSError:
        return ""
    last = [readable(line) for line in text.splitlines() if line.strip()][-lines:]
    return "\n".join([f"\nThe end of {file}:", *(f"  {line}" for line in last)])


def readable(line: str) -> str:
    """A line of a log for people: of a JSON record time, level and message, without traceback."""
    try:
        record = json.loads(line)
        text = f"{record['at']} {record['level']} {record['message']}"
    except (ValueError, KeyError, TypeError):
        text = line
    return text if len(text) <= LINE_LENGTH else f"{text[:LINE_LENGTH]}…"
