"""What a fork server imports before it forks, so that no launch has to.

Imports only: no tensor operation, no autograd, no CUDA call. After a parallel operation in the
parent a child's hangs.
"""

from __future__ import annotations

import gc
import importlib

import torch

MODULES = (
    "modelyard.trial.program",
    "modelyard.trial.stages",
)


def preload() -> None:
    """Import what launches use, with one thread, and make the result cheap to share."""
    torch.set_num_threads(1)
    for name in MODULES:
        importlib.import_module(name)
    # The collector would write to every object's header, and so copy each page in each child.
    gc.collect()
    gc.freeze()
