"""The trial program: what ``python -P -m modelyard.trial`` and the fork server's children run."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping
from typing import NoReturn

from modelyard.contract import Document, Exit
from modelyard.errors import InputError
from modelyard.trial.assignment import follows, read_assignment
from modelyard.trial.stopping import Stopping


def main(environ: Mapping[str, str], rehearsed: Document | None = None) -> int:
    """Carry out the launch that the environment tells of. Main thread only.

    Args:
        environ: environment variables by name; see ``contract.Variable``.
        rehearsed: the document of a launch that was expected, see ``rehearsal.py``.

    Returns:
        A code of ``contract.Exit``; ``ACCEPTED`` only when the intake acknowledged the result.
    """
    stopping = Stopping()
    stopping.install()
    try:
        assignment = read_assignment(environ)
    except InputError as error:
        print(error, file=sys.stderr, flush=True)
        return Exit.CONFIGURATION
    # Not at the top: they take seconds, in which a SIGTERM is already answered as it should be.
    if follows(environ):
        from modelyard.trial.following import follow

        return follow(assignment)
    from modelyard.trial.launch import carry_out

    return carry_out(assignment, stopping, rehearsed)


def leave(code: int) -> NoReturn:
    """End the process at once, its output written.

    Not by way of the interpreter's end, which waits for what torch's own threads wait for: an
    operation that a lost rank was to take part in may take half an hour to give up.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # the latter of a closed one
            stream.flush()
    os._exit(code)
