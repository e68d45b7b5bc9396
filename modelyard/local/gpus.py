"""The GPUs of this machine, and which launch sees which."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping

VISIBLE = "CUDA_VISIBLE_DEVICES"


def installed(environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Names of the GPUs that may be used, as ``CUDA_VISIBLE_DEVICES`` takes them.

    Asked of the driver's own tool: CUDA itself must not be started in a process that forks.
    """
    visible = environ.get(VISIBLE)
    if visible is not None:
        return tuple(name.strip() for name in visible.split(",") if name.strip())
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ()
    try:
        answer = subprocess.run(
            [tool, "--query-gpu=uuid", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(row.strip() for row in answer.stdout.splitlines() if row.strip())


def assign(
    wanted: int, devices: tuple[str, ...], in_use: Iterable[tuple[str, ...]]
) -> tuple[str, ...]:
    """Choose a launch's GPUs: those with the fewest launches on them.

    Args:
        wanted: how many it asks for; no more than there are can be given.
        devices: the machine's.
        in_use: what each running launch has. More launches than GPUs share them.

    Returns:
        Names in the machine's order; empty without GPUs, or when none are wanted.
    """
    load = Counter(device for held in in_use for device in held)
    chosen = sorted(devices, key=lambda device: (load[device], devices.index(device)))[:wanted]
    return tuple(sorted(chosen, key=devices.index))
