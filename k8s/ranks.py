"""Which pod speaks for a launch of several nodes. Pure.

Such a launch is one Indexed Job: a pod a node, of which only rank 0 reports, and any rank's
failure ends them all. The others then end of having lost a peer, so that the cause has to be
told from what it caused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from modelyard.contract import Exit
from modelyard.k8s.answers import Json
from modelyard.k8s.status import ended, exit_of

INDEX_LABEL = "batch.kubernetes.io/job-completion-index"

_CONSEQUENCES = (Exit.STOPPED, 137, 143)
"""Exit codes of a rank that lost a peer, or that was ended because the Job had failed."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A pod as last seen, cut down, and whether it is gone."""

    pod: Json
    gone: bool = False


def rank_of(pod: Json) -> int:
    """The node's number of a pod; 0 for the only pod of a Job."""
    return int((pod["metadata"].get("labels") or {}).get(INDEX_LABEL, 0))


def speaker(pods: Mapping[int, Seen], *, nodes: int, over: bool) -> Seen | None:
    """The pod whose state is the launch's.

    Args:
        pods: by rank, as far as they were seen.
        nodes: how many there are to be.
        over: whether the Job has ended or is gone, so that no end is still to come.

    Returns:
        Where a rank failed, and all have ended: the one that began it. Before that, one that has
        not ended. Where none failed: one that waits, else the first. None where there is none.
    """
    if nodes < 2:
        return next(iter(pods.values()), None)
    failed = [rank for rank, seen in pods.items() if _failed(seen)]
    alive = [rank for rank, seen in pods.items() if not seen.gone and not ended(seen.pod)]
    if failed and (over or (len(pods) == nodes and not alive)):
        return pods[min(failed, key=lambda rank: _blame(rank, pods[rank]))]
    if failed or not pods:
        return pods[min(alive)] if alive else None
    pending = [rank for rank in alive if pods[rank].pod.get("status", {}).get("phase") == "Pending"]
    return pods[min(pending or pods)]


def _failed(seen: Seen) -> bool:
    if not ended(seen.pod):
        return seen.gone
    code = exit_of(seen.pod).get("exitCode", 0)
    return bool(code) or seen.pod.get("status", {}).get("phase") == "Failed"


def _blame(rank: int, seen: Seen) -> tuple[bool, str, int]:
    """Least for the likeliest cause: what isn't a consequence, then what ended first."""
    terminated = exit_of(seen.pod)
    killed = terminated.get("reason") == "OOMKilled"  # 137 as well, and a cause
    consequence = terminated.get("exitCode") in _CONSEQUENCES and not killed
    return consequence, str(terminated.get("finishedAt", "")), rank
