"""Stage deploy: the champion behind its address."""

from __future__ import annotations

from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from modelyard.tasks.follow import follow


@task(name="deploy", cache_policy=NO_CACHE, persist_result=False)
def deploy(sweep: str) -> dict[str, Any]:
    """Let the champion answer requests; returns where it does."""
    return follow(sweep, "deploy")
