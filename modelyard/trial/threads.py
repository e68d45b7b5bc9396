"""CPU threads of a launch: they belong to the experiment, because they decide its numbers.

One and two threads give different losses, equal counts the same ones; so the count comes from
the document, wherever the launch runs.
"""

from __future__ import annotations

import functools

import threadpoolctl
import torch


def use_threads(threads: int) -> None:
    """Give every numerical library so many threads that was loaded when this was first called.

    One that is loaded later takes the number of ``OMP_NUM_THREADS``, which the executor sets.
    """
    torch.set_num_threads(threads)
    _libraries().limit(limits=threads)


@functools.cache
def _libraries() -> threadpoolctl.ThreadpoolController:
    # Looking for them takes 20 ms and more; a fork server has done it before it forks.
    return threadpoolctl.ThreadpoolController()
