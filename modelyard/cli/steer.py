"""``cancel``, ``rollback`` and ``migrate``: the commands that change something."""

from __future__ import annotations

import asyncio

from modelyard.api import ENDED, SweepView
from modelyard.cli.ask import asking
from modelyard.cli.terminal import console, print_json, print_line, program
from modelyard.client import Client
from modelyard.errors import InputError, ModelyardError
from modelyard.local import services
from modelyard.settings import Paths, Settings

CANCEL_SECONDS = 60.0
"""Longest that the trials of a cancelled sweep may take to end."""


def cancel_command(sweep: str | None, json_output: bool, on: str | None = None) -> None:
    """End a sweep for good; returns once its trials have ended.

    Args:
        sweep: name or id; None for the newest.
        json_output: print the ``SweepView``.
        on: see ``ask.asking``.
    """
    with asking(Settings(), on) as client:
        view = client.sweep(sweep)
        before = view.state
        if before not in ENDED:
            view = _ended(client, client.cancel(view.id, "cancelled from the command line"))
    if json_output:
        print_json(view)
    elif before in ENDED:
        print_line(f"sweep {view.id} of {view.name} is {view.state} already", console())
    else:
        kept = f"{view.counts.ended} of {view.total} trials had ended"
        print_line(f"sweep {view.id} of {view.name} is {view.state}; {kept}", console())


def rollback_command(name: str, json_output: bool, on: str | None = None) -> None:
    """Let the version serve that was champion before.

    Args:
        name: of the model.
        json_output: print the ``ServingView``.
        on: see ``ask.asking``.
    """
    with asking(Settings(), on) as client:
        serving = client.rollback(name)
    if json_output:
        print_json(serving)
    else:
        said = f"answers at {serving.address}" if serving.address else "is champion again"
        print_line(f"{serving.name} version {serving.version} {said}", console())


def migrate_command() -> None:
    """Bring journal, studies and, where it is ours, the tracking store to the newest schema.

    A Postgres may be in use, and another migration on its way: it is waited for.

    Raises:
        InputError: a server runs on files that are to be migrated.
        ModelyardError: a database couldn't be used for a minute.
    """
    settings = Settings()
    if settings.database is None or settings.tracking is None:
        _require_files_at_rest(settings.paths)
    from modelyard.journal import migrate as journal
    from modelyard.journal.postgres import name_of, parsed
    from modelyard.sweep import study_storage as study
    from modelyard.sweep.patience import patiently

    out = console()
    for what, migrate, url in (
        ("journal", journal.migrate, settings.journal_url),
        ("studies", study.migrate, settings.study_url),
    ):
        asyncio.run(patiently(migrate, url))
        print_line(f"{what} in {name_of(parsed(url))}: up to date", out)
    if settings.tracking is None:
        from modelyard.registry.tracking import Tracking

        Tracking(settings.tracking_uri, settings.tracking_artifacts).open()
        print_line(f"runs in {settings.paths.mlflow}: up to date", out)


def _require_files_at_rest(paths: Paths) -> None:
    found = services.running("server", paths)
    if found is not None:
        raise InputError(
            f"the server at {found.address} has the stores of {paths.home} open, and migrated "
            f"them when it started; end it with `{program()} down` to migrate by hand"
        )
    services.prepare_home(paths)


def _ended(client: Client, view: SweepView) -> SweepView:
    """The sweep once it has ended.

    Raises:
        ModelyardError: it takes too long; it will be cancelled all the same.
    """
    view = client.wait(view.id, lambda seen: seen.state in ENDED, seconds=CANCEL_SECONDS)
    if view.state not in ENDED:
        raise ModelyardError(
            f"sweep {view.id} is to be cancelled, but its trials still run after "
            f"{CANCEL_SECONDS:g} s; `{program()} status {view.id}` shows its state"
        )
    return view
