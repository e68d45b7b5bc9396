"""What the routes work with: the parts of one running server, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from modelyard.api import Health
from modelyard.registry.recorder import Recorder
from modelyard.server.artifacts import Artifacts
from modelyard.server.changes import Changes
from modelyard.server.intake import Intake
from modelyard.server.library import Library
from modelyard.server.live import LiveJournal
from modelyard.server.measures import Measures
from modelyard.server.owners import OwnerWatch
from modelyard.server.prefect_rest import Prefect
from modelyard.server.stages import Stages
from modelyard.server.stream import Stream
from modelyard.server.submit import Submitter
from modelyard.server.supervisor import Supervisor
from modelyard.server.tokens import Tokens
from modelyard.settings import Settings
from modelyard.store.store import Store


@dataclass(frozen=True, kw_only=True)
class Core:
    """One running server.

    Args:
        run: the run that it lives and dies with, None for a server that stays.
        epoch: of its lease; part of every ETag, so that a client notices another server.
        health: asks each dependency how it is.
        shutdown: ends the server, with a reason for the log.
        hosts: names by which it is called.
    """

    settings: Settings
    run: str | None
    epoch: int
    journal: LiveJournal
    changes: Changes
    measures: Measures
    tokens: Tokens
    intake: Intake
    stream: Stream
    recorder: Recorder
    library: Library
    stages: Stages
    supervisor: Supervisor
    store: Store
    artifacts: Artifacts
    owners: OwnerWatch
    prefect: Prefect
    submitter: Submitter
    health: Callable[[], Health]
    shutdown: Callable[[str], None]
    hosts: frozenset[str]


async def _core(request: Request) -> Core:
    # A coroutine, as FastAPI would call a function in a thread, which costs a post its speed.
    core: Core = request.app.state.core
    return core


CoreOf = Annotated[Core, Depends(_core)]
"""A route's argument of this type is the running server."""
