"""Model versions and their servers, as the server's stages and routes use them.

The registry is imported late, in the threads that use it: pandas and MLflow take seconds, which
the server's start need not wait for.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from modelyard.api import ServingView, VersionView
from modelyard.deploy import local
from modelyard.errors import InputError, ModelyardError, first_line
from modelyard.registry.tracking import Tracking
from modelyard.settings import Paths

if TYPE_CHECKING:
    from modelyard.contract import PinnedVersion
    from modelyard.experiment.weights import Version
    from modelyard.registry.register import Candidate, Registered


class Library:
    """Blocking calls on the registry and on the local deploy target; for worker threads.

    One deployment runs at a time. MLflow is opened by the first call, or by the recorder.

    Args:
        tracking: MLflow.
        paths: of the home.
        serves: models are served from this machine; a server in a cluster only moves aliases.

    Raises:
        ModelyardError: from every call, when the registry can't be used.
    """

    def __init__(self, tracking: Tracking, paths: Paths, *, serves: bool = True) -> None:
        self._tracking = tracking
        self._paths = paths
        self._serves = serves
        self._deploying = threading.Lock()

    def versions(self, name: str) -> list[VersionView]:
        """All versions of a model, newest first."""
        from modelyard.registry import versions

        with _translated():
            return versions.versions(self._tracking, name)

    def champion(self, name: str, alias: str) -> str | None:
        """URI of the serving version's packed model; None without one."""
        from modelyard.registry import versions

        with _translated():
            return versions.champion_model(self._tracking, name, alias)

    def pinned(self, version: Version) -> PinnedVersion:
        """A version to start from; see ``pinning.pinned``."""
        from modelyard.registry.pinning import pinned

        with _translated():
            return pinned(self._tracking, version)

    def register(self, candidate: Candidate) -> Registered:
        """Make a version of a candidate and move the aliases."""
        from modelyard.registry.register import register

        with _translated():
            return register(self._tracking, candidate)

    def deploy(
        self, name: str, alias: str, *, port: int | Literal["auto"], run: str | None
    ) -> ServingView:
        """Let the version of an alias serve; one that serves already is left alone.

        Args:
            port: of the experiment.
            run: id of the run that starts it, None for one that stays.

        Raises:
            InputError: no version has the alias, or the port is taken.
            ModelyardError: the model server failed.
        """
        number = next((v.version for v in self.versions(name) if alias in v.aliases), None)
        if number is None:
            raise InputError(f"no version of {name} is {alias}, so nothing can be deployed")
        return self._serve(name, number, port=port, run=run)

    def rollback(self, name: str) -> ServingView:
        """Let the version serve that was champion before.

        Raises:
            InputError: no such model, or nothing to go back to.
        """
        from modelyard.registry import versions

        with _translated():
            version = versions.rollback(self._tracking, name)
        return self._serve(name, version.version, port="auto", run=None)

    def servings(self) -> list[ServingView]:
        """The model servers that run."""
        return local.servings(self._paths)

    def _serve(
        self, name: str, number: int, *, port: int | Literal["auto"], run: str | None
    ) -> ServingView:
        from modelyard.registry import versions

        if not self._serves:
            return ServingView(name=name, version=number, address="", process=0)
        with _translated():
            folder = versions.version_folder(self._tracking, name, number, cache=self._paths.cache)
        with self._deploying:
            return local.deploy(name, number, folder, port=port, paths=self._paths, run=run)


@contextmanager
def _translated() -> Iterator[None]:
    """What MLflow raises becomes an error of ours, in one line."""
    try:
        yield
    except ModelyardError:
        raise
    except Exception as error:
        said = f"{type(error).__name__}: {first_line(error)}"
        raise ModelyardError(f"the model registry failed: {said}") from error
