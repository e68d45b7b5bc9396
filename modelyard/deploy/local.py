"""The local deploy target: one detached inference server a model, handed over on one port."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from modelyard.api import ServingView
from modelyard.settings import Paths


def deploy(
    name: str,
    version: int,
    model_folder: Path,
    *,
    port: int | Literal["auto"],
    paths: Paths,
    run: str | None = None,
    deadline_seconds: float = 60.0,
) -> ServingView:
    """Make this version the one that serves; blocks until it answers. Repeating changes nothing.

    A running version of the model keeps its port (``port`` auto) and ends only once the new one
    answered a real prediction; when the new one fails the old stays.

    Args:
        model_folder: of ``registry.register.version_folder``.
        run: id of the ``modelyard run`` that starts it, None for one that stays.

    Raises:
        InputError: the port is taken by somebody else.
        ModelyardError: the new server failed; carries the tail of its log.
    """
    raise NotImplementedError


def servings(paths: Paths) -> list[ServingView]:
    """The model servers that run, by name."""
    raise NotImplementedError
