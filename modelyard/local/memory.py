"""How large a launch is, against the limit of ``resources.memory``.

A limit is what the user would write on a Kubernetes Job, so it is held against what such a
container would be killed for: memory that can't be given back. That is anonymous memory, shared
memory and what of it was swapped out, as if the launch ran alone: what it still shares with
the fork server (about 200 MB of imported libraries) counts, because the same program would
need it anywhere. Pages of files don't count: a snapshot mapped into memory, however large, is
dropped by the kernel before anybody has to die.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import psutil

_UNRECLAIMABLE = re.compile(rb"^(?:RssAnon|RssShmem|VmSwap):\s+(\d+) kB$", re.MULTILINE)


def memory_bytes(process: int) -> int:
    """Size of a process in bytes; 0 when it is gone.

    On systems without ``/proc`` it is the resident size, which is larger by what is mapped
    from files.
    """
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
