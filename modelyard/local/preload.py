"""What a fork server imports before it forks, so that no launch has to.

Imports only: no tensor operation, no autograd, no CUDA call. After a parallel operation in the
parent a child's hangs. One thread comes with pyarrow, which scikit-learn brings through pandas:
that of its allocator, jemalloc, which sees to forks itself.
"""

from __future__ import annotations

import gc
import importlib

from modelyard.trial.threads import use_threads

MODULES = (
    "modelyard.trial.launch",
    "modelyard.data.prepare",
    # What the libraries themselves import only when they are first used, in each launch anew:
    "httpcore",
    "sklearn.ensemble",
    "skops.io",
    "torch._dynamo",  # by the first optimiser; 1.5 s
)


def preload() -> None:
    """Import what launches use, with one thread, and make the result cheap to share."""
    for name in MODULES:
        importlib.import_module(name)
    use_threads(1)
    # The collector would write to every object's header, and so copy each page in each child.
    gc.collect()
    gc.freeze()
