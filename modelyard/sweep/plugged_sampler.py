"""The contract of ``modelyard.samplers``; Optuna itself isn't needed to judge a name.

The entry point is a function, or a class, that takes ``seed`` and the options of the experiment
file by name and gives an ``optuna.samplers.BaseSampler``. It is made anew whenever a study is
opened again, with another seed then, and learns from the study what was tried.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any


def check_sampler(_name: str, thing: Any) -> Iterator[str]:
    """What breaks the contract of ``modelyard.samplers``."""
    if not callable(thing):
        yield f"a sampler is a function of a seed, not a {type(thing).__name__}"
        return
    try:
        inspect.signature(thing).bind_partial(seed=0)
    except TypeError as error:
        yield f"it can't be called with seed: {error}"
