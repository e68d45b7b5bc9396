"""Binds a process's life to its parent's, by the kernel (Linux)."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # prctl(2)


def die_with(parent: int) -> None:
    """Let the kernel kill this process when its parent ends, whatever it is busy with.

    It follows the parent's thread that started this process: that thread must live as long as
    this process is wanted. Elsewhere than on Linux only a parent that is gone already is seen.

    Args:
        parent: pid of the process that started this one.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)
