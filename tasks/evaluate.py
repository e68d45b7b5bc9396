"""Stage evaluate: the test split, the gates, and the champion on the same rows."""

from __future__ import annotations

from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from modelyard.tasks.follow import follow


@task(name="evaluate", cache_policy=NO_CACHE, persist_result=False)
def evaluate(sweep: str) -> dict[str, Any]:
    """Measure the model on the test split; returns gates, confusion and the champion's metrics."""
    return follow(sweep, "evaluate")
