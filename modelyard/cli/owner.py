"""This process as the owner of a sweep, and the thread that says that it lives."""

from __future__ import annotations

import os
import secrets
import string
import threading
from collections.abc import Callable

import psutil

from modelyard.api import Owner
from modelyard.client import Client
from modelyard.errors import ModelyardError, ServerRefused, ServerUnreachable

RENEW_SECONDS = 1.0


def this_process() -> Owner:
    """An owner with a random run id."""
    alphabet = string.ascii_lowercase + string.digits
    return Owner(
        run="".join(secrets.choice(alphabet) for _ in range(8)),
        process=os.getpid(),
        started=psutil.Process().create_time(),
    )


class Renewal:
    """Renews the ownership every second, over a connection of its own, until stopped.

    Args:
        address: of the server.
        sweep: id of the owned sweep.
        owner: this process.
        on_lost: called once when somebody else owns the sweep, or it has stopped.
    """

    def __init__(
        self, address: str, sweep: str, owner: Owner, on_lost: Callable[[ModelyardError], None]
    ) -> None:
        self._address, self._sweep, self._owner = address, sweep, owner
        self._on_lost = on_lost
        self._stopped = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def stop(self) -> None:
        """Renew no more."""
        self._stopped.set()

    def _run(self) -> None:
        with Client(self._address) as client:
            while not self._stopped.wait(RENEW_SECONDS):
                try:
                    client.renew_owner(self._sweep, self._owner)
                except ServerUnreachable:
                    continue  # its death is seen elsewhere; a short silence is borne
                except ServerRefused as error:
                    if not self._stopped.is_set():
                        self._on_lost(error)
                    return
