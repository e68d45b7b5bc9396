"""How large a launch is, against the limit of ``resources.memory``.

A limit is what the user would write on a Kubernetes Job, so it is held against what such a
container would be killed for: memory that can't be given back. That is anonymous memory, shared
memory and what of it was swapped out, as if the launch ran alone: what it still shares with
the fork server (about 200 MB of imported libraries) counts, because the same program would
need it anywhere. The other ranks that a launch has started run in its container and count with it;
what else it starts may share its pages, which would count twice. Pages of files don't count: a
snapshot mapped into memory, however large, is dropped by the kernel before anybody has to die.
"""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

_RANK = b"\0RANK="
"""In the environment of such a rank, see ``trial.peers``."""
_UNRECLAIMABLE = re.compile(rb"^(?:RssAnon|RssShmem|VmSwap):\s+(\d+) kB$", re.MULTILINE)


def memory_bytes(process: int) -> int:
    """Size of a launch's process in bytes, with the other ranks that it has started; 0 when it is
    gone.

    On systems without ``/proc`` it is the resident size of the process alone, which is larger by
    what is mapped from files.
    """
    return sum(map(_own_bytes, (process, *_ranks(process))))


def _own_bytes(process: int) -> int:
    if sys.platform == "linux":
        try:
            status = Path(f"/proc/{process}/status").read_bytes()
        except OSError:
            return 0
        return sum(int(amount) for amount in _UNRECLAIMABLE.findall(status)) * 1024
    try:
        return int(psutil.Process(process).memory_info().rss)
    except psutil.Error:
        return 0


def _ranks(process: int) -> Iterator[int]:
    """The children of a process' main thread that are ranks; not theirs in turn, which inherit
    the variable whatever they are. None where the kernel keeps no list of children
    (CONFIG_PROC_CHILDREN)."""
    with contextlib.suppress(OSError):
        for child in Path(f"/proc/{process}/task/{process}/children").read_text().split():
            with contextlib.suppress(OSError):
                if _RANK in b"\0" + Path(f"/proc/{child}/environ").read_bytes():
                    yield int(child)
