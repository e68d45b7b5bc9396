"""Stage train: the winner to full length."""

from __future__ import annotations

from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from modelyard.tasks.follow import follow


@task(name="train", cache_policy=NO_CACHE, persist_result=False)
def train(sweep: str) -> dict[str, Any]:
    """Fit the best trial's parameters to full length; returns the model's family and parameters."""
    return follow(sweep, "train")
