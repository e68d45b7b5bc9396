"""The last message: a launch's outcome as one small file, for when the intake was away.

Kubernetes keeps it as the container's termination message; the local executor reads the file.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, ValidationError

from modelyard.contract import Failure, LaunchKey, TrialResult, Wire

LIMIT_BYTES = 4096
"""What Kubernetes keeps of a container's termination message."""


class Termination(Wire):
    """The scalars of a result, or why there is none. ``launch`` fences it.

    Args:
        launch: ``<sweep>-<task>-<number>``.
        metrics, step, model, health: as in ``TrialResult``.
        failure: the summary of a ``Failure``.
    """

    launch: str
    metrics: dict[str, float] = Field(default_factory=dict)
    step: int | None = None
    model: str | None = None
    health: dict[str, float] = Field(default_factory=dict)
    failure: str | None = None


def read_termination(text: str, key: LaunchKey) -> Termination | None:
    """The last message of a launch; None where there is none, or another launch's."""
    try:
        found = Termination.model_validate_json(text)
    except ValidationError:  # cut off, or the tail of a log that stands in for it
        return None
    return found if found.launch == str(key) else None


def write_termination(path: Path | None, key: LaunchKey, body: TrialResult | Failure) -> None:
    """Write the last message, replacing an earlier one; nothing where there is no file.

    Raises:
        ValueError: the message takes more than ``LIMIT_BYTES``.
        OSError: the file can't be written.
    """
    if path is None:
        return
    if isinstance(body, TrialResult):
        message = Termination(
            launch=str(key),
            metrics=body.metrics,
            step=body.step,
            model=body.model,
            health=body.health,
        )
    else:
        message = Termination(launch=str(key), failure=body.summary)
    text = message.model_dump_json(exclude_defaults=True).encode()
    if len(text) > LIMIT_BYTES:
        raise ValueError(
            f"the last message of {key} takes {len(text)} bytes; {LIMIT_BYTES} is the limit"
        )
    # Not by os.replace: Kubernetes mounts this very file, and a mounted file can't be replaced.
    path.write_bytes(text)
