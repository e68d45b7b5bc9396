"""CPU threads of a launch: they belong to the experiment, because they decide its numbers.

One and two threads give different losses, equal counts the same ones; so the count comes from
the document, wherever the launch runs.
"""

from __future__ import annotations

import threadpoolctl  # type: ignore[import-untyped]  # it ships no types
import torch


def use_threads(threads: int) -> None:
    """Give every numerical library that is loaded in this process so many threads."""
    torch.set_num_threads(threads)
    threadpoolctl.threadpool_limits(threads)
