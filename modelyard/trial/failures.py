"""From an exception to an exit code and a ``Failure``: what every ending is called."""

from __future__ import annotations

import errno
import traceback

import torch

from modelyard.code.importing import place_of
from modelyard.contract import Exit, Failure
from modelyard.errors import (
    DigestMismatch,
    Fenced,
    InputError,
    ModelyardError,
    ServerRefused,
    ServerUnreachable,
)
from modelyard.train.errors import Diverged, Stopped
from modelyard.trial.watching import RankFailed

SUMMARY_LIMIT = 1000
DETAIL_LIMIT = 16_000

_MEMORY_WORDS = (
    "can't allocate memory",
    "cannot allocate memory",
    "you tried to allocate",
    "out of memory",
    "is killed by signal: killed",
)
"""How torch says on the CPU, and of its loader workers, what has no exception of its own."""

_UNWRITABLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES})
"""Nothing can be kept where the artifacts are: every trial would fail alike."""


def exit_code(error: BaseException) -> Exit:
    """The code with which an exception ends the program."""
    match error:
        # A server that stays away is no fault of the trial: it ends as if preempted, and the
        # next launch goes on from its checkpoint.
        case Stopped() | ServerUnreachable():
            return Exit.STOPPED
        case Fenced():
            return Exit.FENCED
        case Diverged():
            return Exit.DIVERGED
        case RankFailed():
            return error.code
        case _ if _is_memory(error):
            return Exit.OUT_OF_MEMORY
        case InputError() | ServerRefused() | DigestMismatch():
            return Exit.CONFIGURATION
        case _ if _is_unwritable(error):
            return Exit.CONFIGURATION
    return Exit.BUG


def failure_of(error: BaseException) -> Failure:
    """What the server is told of an exception; the traceback is in ``detail``."""
    code = exit_code(error)
    text = str(error) or type(error).__name__
    # Our own errors are sentences already; any other needs its type to be understood.
    summary = text if isinstance(error, ModelyardError) else f"{type(error).__name__}: {text}"
    if not isinstance(error, ModelyardError) and (place := place_of(error)):
        summary = f"{summary[: SUMMARY_LIMIT - len(place) - 3]} ({place})"
    lines = traceback.format_exception(error)
    return Failure(
        exit=code,
        summary=summary if len(summary) <= SUMMARY_LIMIT else f"{summary[: SUMMARY_LIMIT - 1]}…",
        # The end of a traceback says what happened, the beginning only how one got there.
        detail="".join(lines)[-DETAIL_LIMIT:],
        step=error.step if isinstance(error, Diverged) else None,
    )


def _is_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    words = str(error).lower()
    return isinstance(error, RuntimeError) and any(word in words for word in _MEMORY_WORDS)


def _is_unwritable(error: BaseException | None) -> bool:
    """Whether the exception, or what it was raised from, is a disk that takes nothing."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _UNWRITABLE:
            return True
        error = error.__cause__
    return False
