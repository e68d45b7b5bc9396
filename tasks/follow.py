"""How every task works: ask the server for a stage, and wait until it has ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from modelyard.api import StageState, SweepView
from modelyard.client import Client
from modelyard.errors import ModelyardError
from modelyard.settings import Settings


class StageFailed(ModelyardError):
    """A stage ended without what it was for; the message holds reason and remedy."""


def follow(
    sweep: str, stage: str, on_change: Callable[[SweepView], None] | None = None
) -> dict[str, Any]:
    """Run a stage of a sweep to its end; one that has ended returns its recorded outcome.

    Args:
        sweep: id of the sweep.
        stage: one of ``api.STAGES``.
        on_change: given the sweep at each change meanwhile, at most five times a second.

    Returns:
        The stage's outcome.

    Raises:
        StageFailed: the stage failed or was cancelled.
        Interrupted: the sweep was interrupted before the stage ended.
    """
    with Client.connect(Settings()) as client:
        view = client.wait_stage(sweep, stage, on_change)
    if view.state is not StageState.COMPLETE:
        reason = view.failure
        said = f"{reason.summary} {reason.resolution}".strip() if reason else "no reason is known"
        raise StageFailed(f"{stage} failed: {said}")
    return view.outcome
