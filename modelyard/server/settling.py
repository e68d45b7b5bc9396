"""What a server does once, soon after its start, so that it is quick from then on."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable

LOG = logging.getLogger(__name__)


def settle(*loads: Callable[[], object]) -> None:
    """Load what is imported late, then have the garbage collector leave all of it alone.

    The libraries are 300,000 objects that stay. A full collection would walk over them every now
    and then, for 0.2 to 0.7 s in which nobody is answered and nothing is heard of the cluster.

    Args:
        loads: called one after the other. One that fails is tried again by whoever needs it.
    """
    for load in loads:
        try:
            load()
        except Exception as error:
            LOG.info("not loaded for now: %s", error)
    gc.collect()
    gc.freeze()
