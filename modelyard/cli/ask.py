"""A client for the commands that look and steer: of the cluster's server, or of this home's."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from modelyard.cli.cluster import cluster
from modelyard.cli.sources import goes_to_cluster
from modelyard.cli.terminal import program
from modelyard.client import Client
from modelyard.errors import InputError
from modelyard.local import services
from modelyard.settings import Settings


@contextmanager
def asking(settings: Settings, on: str | None = None) -> Iterator[Client]:
    """The server that a command means.

    Here that is the one that runs, or, where something was run before, one that is started now;
    it stays, as others may come to depend on it before we are done. A cluster's needs no home.

    Args:
        on: ``local`` or ``cluster`` as typed; None for the cluster where the settings name one.

    Raises:
        InputError: nothing was ever run in this home, or no cluster is known.
        ServerUnreachable: the cluster's server doesn't answer.
    """
    if goes_to_cluster(settings, on):
        with cluster(settings) as client:
            yield client
        return
    here = settings.embedded()
    if services.running("server", here.paths) is None:
        if not here.paths.journal.exists():
            raise InputError(
                f"nothing was run in {here.paths.home} yet; start with `{program()} run FILE`, "
                "or name another home in MODELYARD_HOME, or a cluster's server in MODELYARD_SERVER"
            )
        from modelyard.cli.servers import attach_server

        attach_server(here, None, _say)
        _say(f"it stays up until `{program()} down`")
    with Client.connect(here) as client:
        yield client


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr)
