"""A client of this home's server for the commands that look and steer."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from modelyard.client import Client
from modelyard.errors import InputError
from modelyard.local import services
from modelyard.settings import Settings


@contextmanager
def asking(settings: Settings) -> Iterator[Client]:
    """The server that runs, or, where something was run before, one that is started now.

    A server that this starts stays: others may come to depend on it before we are done.

    Raises:
        InputError: nothing was ever run in this home.
    """
    if services.running("server", settings.paths) is None:
        if not settings.paths.journal.exists():
            raise InputError(
                f"nothing was run in {settings.paths.home} yet; start with `modelyard run FILE`, "
                "or name another home in MODELYARD_HOME"
            )
        from modelyard.cli.servers import attach_server

        attach_server(settings, None, _say)
        _say("it stays up until `modelyard down`")
    with Client.connect(settings) as client:
        yield client


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr)
