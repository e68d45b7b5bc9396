"""Stage register: a model version with its lineage and alias."""

from __future__ import annotations

from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from modelyard.tasks.follow import follow


@task(name="register", cache_policy=NO_CACHE, persist_result=False)
def register(sweep: str) -> dict[str, Any]:
    """Register the model as champion, challenger or rejected; returns its version."""
    return follow(sweep, "register")
