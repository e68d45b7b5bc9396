"""Both servers of a run, found or started side by side."""

from __future__ import annotations

from collections.abc import Callable

from modelyard.cli.background import Background
from modelyard.cli.servers import Attached, attach_prefect, attach_server
from modelyard.client import Client
from modelyard.errors import ModelyardError
from modelyard.local import services
from modelyard.settings import Settings

LOOK_SECONDS = 0.5
"""How long a server that is just being started may take to be there, so that it is ended too."""


class Boot:
    """Starts at once; each server is waited for when it is needed.

    Args:
        settings: of this installation.
        run: id of this run; servers that it starts carry it.
        say: told what is being started.
    """

    def __init__(self, settings: Settings, run: str, say: Callable[[str], None]) -> None:
        self._settings, self._run, self._say = settings, run, say
        services.prepare_home(settings.paths)
        self.server = Background(lambda: attach_server(settings, run, say))
        self.prefect = self.again()

    def again(self) -> Background[Attached]:
        """Prefect's server once more, should it have died meanwhile."""
        return Background(lambda: attach_prefect(self._settings, self._run, self._say))

    def end(self, *, sweep: str | None, grace_seconds: float) -> bool:
        """End what this run started, unless another run's sweep depends on it.

        Args:
            sweep: id of our own sweep.
            grace_seconds: between SIGTERM and SIGKILL, and for the server to say whether others
                use it.

        Returns:
            Whether the servers were left because others use them.
        """
        in_use = Background(lambda: used_by_others(self._settings, sweep))
        if in_use.wait(grace_seconds) and in_use.result():
            return True
        services.stop_all(self._settings.paths, self._run, grace_seconds=grace_seconds)
        # A thread of ours may have started its server just now.
        self.prefect.wait(LOOK_SECONDS)
        services.stop_all(self._settings.paths, self._run, grace_seconds=grace_seconds)
        return False


def used_by_others(settings: Settings, sweep: str | None) -> bool:
    """Whether the server runs a sweep that isn't ours; False when it can't be asked."""
    try:
        with Client.connect(settings) as client:
            return any(v.state == "running" and v.id != sweep for v in client.sweeps())
    except ModelyardError:
        return False
