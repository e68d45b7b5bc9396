"""What decides a launch's numbers besides its parameters: build, threads, CPU, device (T6)."""

from __future__ import annotations

import os
import platform
import resource
import socket
import sys
from importlib.metadata import version

import torch

from modelyard.contract import Started

VERSIONS = {
    "python": platform.python_version(),
    **{name: version(name) for name in ("modelyard", "torch", "numpy", "scikit-learn")},
}
"""Read when this is imported: it takes 30 ms, which a fork server spends before it forks."""


def started(resumed_epoch: int | None) -> Started:
    """The first word of a launch.

    Args:
        resumed_epoch: epoch of the checkpoint to go on from, None for a fresh start.
    """
    return Started(
        host=socket.gethostname(),
        process=os.getpid(),
        versions=VERSIONS,
        threads=torch.get_num_threads(),
        capability=torch.backends.cpu.get_cpu_capability(),
        device=device_name(),
        resumed_epoch=resumed_epoch,
    )


def device_name() -> str:
    """``cpu``, or the model of the GPU that torch would use."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name(0)
    return "cpu"


def peak_memory_bytes() -> int:
    """Largest resident size of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS counts in bytes, Linux in KiB (getrusage(2)).
    return peak if sys.platform == "darwin" else peak * 1024
