"""What a fork server imports before it forks, so that no launch has to.

Imports only: no tensor operation, no autograd, no CUDA call. After a parallel operation in the
parent a child's hangs. One thread comes with pyarrow, which scikit-learn brings through pandas:
that of its allocator, jemalloc, which sees to forks itself.
"""

from __future__ import annotations

import gc
import importlib
from collections.abc import Callable
from functools import partial

from modelyard.experiment.model import Experiment

FIRST = ("modelyard.trial.launch", "modelyard.trial.rehearsal", "encodings.idna")
"""Enough to prepare data; the rest follows while that runs. The codec comes with Python's first
connection, which would be in each launch anew, some milliseconds."""

LATER = (
    "modelyard.train.fit",
    "modelyard.trial.evaluation",
    "modelyard.trial.remote_store",
    "sklearn.ensemble",
    "skops.io",
    "httpcore",
    "h11",
)
"""What fits need, with what the libraries themselves import only when they are first used."""


def steps() -> list[Callable[[], None]]:
    """The later imports and their conclusion, in order, a few seconds each at most."""
    return [_rehearse, *(partial(_load, name) for name in LATER), _settle]


def load_first() -> None:
    """What no launch can do without."""
    for name in FIRST:
        _load(name)


def _load(name: str) -> None:
    importlib.import_module(name)


def _rehearse() -> None:
    """Let pydantic compile what it compiles at first use: validators."""
    Experiment.model_validate({"name": "rehearsal", "data": {"source": "none"}})


def _settle() -> None:
    """Find the numerical libraries' thread pools, and make all of it cheap to share."""
    from modelyard.trial.threads import use_threads

    use_threads(1)
    # The collector would write to every object's header, and so copy each page in each child.
    gc.collect()
    gc.freeze()
