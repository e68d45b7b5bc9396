"""What the executor and its fork server say to each other: one JSON object a line.

The executor sends ``Expect``, ``Launch``, ``End`` and ``Close``, and the fork server passes the
first two on to processes that wait; it answers with ``Ready``, ``Began``, ``Ended`` and
``Unspared``.
Environments pass through here and hold the sweep's token: lines are never printed.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, TypeAdapter

from modelyard.contract import Wire


class Expect(Wire):
    """Launches of a sweep are about to come. Repeated, the last holds.

    Args:
        sweep: its id.
        launches: how many may run at once; 0 when no more come.
        environment: of such a launch, as ``Launch`` has it.
    """

    kind: Literal["expect"] = "expect"
    sweep: str
    launches: int
    environment: dict[str, str]


class Launch(Wire):
    """Start a launch.

    Args:
        name: the launch key as text.
        environment: added to the fork server's own.
        scratch: its working folder; exists.
        log: file that its output is appended to.
        memory_bytes: limit, see ``memory.py``; None sets none.
    """

    kind: Literal["launch"] = "launch"
    name: str
    environment: dict[str, str]
    scratch: str
    log: str
    memory_bytes: int | None = None


class End(Wire):
    """SIGTERM now, SIGKILL to its whole session after the grace. Repeated, the sooner holds."""

    kind: Literal["end"] = "end"
    name: str
    grace_seconds: float


class Close(Wire):
    """End every launch, then yourself."""

    kind: Literal["close"] = "close"
    grace_seconds: float


class Ready(Wire):
    """Everything is imported."""

    kind: Literal["ready"] = "ready"


class Began(Wire):
    """A launch runs as this process, the leader of its own session."""

    kind: Literal["began"] = "began"
    name: str
    process: int


class Ended(Wire):
    """A launch's process is gone, with all of its session.

    Args:
        exit_code: None when a signal ended it.
        signal: the signal's number, None when it exited.
        reason: ``MemoryLimit`` or empty.
        message: a sentence for ``reason``.
        peak_memory_bytes: largest size seen.
    """

    kind: Literal["ended"] = "ended"
    name: str
    exit_code: int | None = None
    signal: int | None = None
    reason: str = ""
    message: str = ""
    peak_memory_bytes: int | None = None


class Unspared(Wire):
    """Spares end again and again before they are used: a launch forks on the spot from now on.

    Args:
        sweep: whose launches they rehearsed, until it is retired; empty where they rehearsed
            none: then nobody's spares are made any more.
        how: what the last one ended by.
    """

    kind: Literal["unspared"] = "unspared"
    sweep: str
    how: str


Order: TypeAlias = Annotated[Expect | Launch | End | Close, Field(discriminator="kind")]
Word: TypeAlias = Annotated[Ready | Began | Ended | Unspared, Field(discriminator="kind")]

ORDER: TypeAdapter[Order] = TypeAdapter(Order)
WORD: TypeAdapter[Word] = TypeAdapter(Word)


def line(message: Order | Word) -> bytes:
    """A message as it travels."""
    return message.model_dump_json().encode() + b"\n"
