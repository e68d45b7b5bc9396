"""Stage prepare: the data snapshot, written once, and the split."""

from __future__ import annotations

from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from modelyard.tasks.follow import follow


@task(name="prepare", cache_policy=NO_CACHE, persist_result=False)
def prepare(sweep: str) -> dict[str, Any]:
    """Read and check the source; returns the snapshot's URI, digest and card."""
    return follow(sweep, "prepare")
