"""Model versions and their servers, as the server's stages and routes use them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Literal, TypeVar

from modelyard.api import ServingView, VersionView
from modelyard.deploy import local
from modelyard.errors import InputError, ModelyardError
from modelyard.registry import versions
from modelyard.registry.register import Candidate, Registered, register
from modelyard.registry.tracking import Tracking
from modelyard.settings import Paths

Value = TypeVar("Value")


class Library:
    """Blocking calls on the registry and on the local deploy target; for worker threads.

    One deployment runs at a time. MLflow is opened by the first call, or by the recorder.

    Args:
        tracking: MLflow.
        paths: of the home.
    """

    def __init__(self, tracking: Tracking, paths: Paths) -> None:
        self._tracking = tracking
        self._paths = paths
        self._deploying = threading.Lock()

    def versions(self, name: str) -> list[VersionView]:
        """All versions of a model, newest first."""
        return _translated(lambda: versions.versions(self._tracking, name))

    def champion(self, name: str, alias: str) -> str | None:
        """URI of the serving version's packed model; None without one."""
        return _translated(lambda: versions.champion_model(self._tracking, name, alias))

    def register(self, candidate: Candidate) -> Registered:
        """Make a version of a candidate and move the aliases."""
        return _translated(lambda: register(self._tracking, candidate))

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
        version = _translated(lambda: versions.rollback(self._tracking, name))
        return self._serve(name, version.version, port="auto", run=None)

    def servings(self) -> list[ServingView]:
        """The model servers that run."""
        return local.servings(self._paths)

    def _serve(
        self, name: str, number: int, *, port: int | Literal["auto"], run: str | None
    ) -> ServingView:
        folder = _translated(lambda: versions.version_folder(self._tracking, name, number))
        with self._deploying:
            return local.deploy(name, number, folder, port=port, paths=self._paths, run=run)


def _translated(call: Callable[[], Value]) -> Value:
    """The call's answer; what MLflow raises becomes an error of ours, in one line."""
    try:
        return call()
    except ModelyardError:
        raise
    except Exception as error:
        first = (str(error).splitlines() or [""])[0][:300]
        raise ModelyardError(
            f"the model registry failed: {type(error).__name__}: {first}"
        ) from error
