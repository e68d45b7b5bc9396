"""Which pod speaks for a launch of several nodes."""

from __future__ import annotations

from typing import Any

import pytest

from modelyard.k8s.ranks import INDEX_LABEL, Seen, rank_of, speaker


def pod(
    phase: str = "Running",
    code: int | None = None,
    at: str = "",
    *,
    reason: str = "",
    gone: bool = False,
) -> Seen:
    """A pod in a phase, whose program ended with a code at a time, or goes on."""
    terminated = {"exitCode": code, "finishedAt": at, "reason": reason}
    state: dict[str, Any] = {"running": {}} if code is None else {"terminated": terminated}
    status = {"phase": phase, "containerStatuses": [{"name": "trial", "state": state}]}
    return Seen(pod={"metadata": {"name": "p"}, "spec": {}, "status": status}, gone=gone)


RUNS, DONE, WAITS = pod(), pod("Succeeded", 0), pod("Pending")
EARLY, LATE = "2026-11-21T00:00:01Z", "2026-11-21T00:00:02Z"
KILLED, LOST_PEER = pod("Failed", 137, LATE), pod("Failed", 75, EARLY)
BUG = pod("Failed", 1, LATE)


@pytest.mark.parametrize(
    ("pods", "over", "rank"),
    [
        ((RUNS,), False, 0),
        # nobody runs before all do
        ((RUNS, WAITS), False, 1),
        ((RUNS, RUNS), False, 0),
        # rank 0 alone reports
        ((DONE, RUNS), False, 0),
        ((RUNS, DONE), False, 0),
        # the end is told once all have ended, or the Job says that it is over
        ((LOST_PEER, RUNS), False, 1),
        ((LOST_PEER, RUNS), True, 0),
        # the cause, not what it caused, even where that is seen to be earlier
        ((LOST_PEER, BUG), False, 1),
        ((BUG, KILLED), False, 0),
        # the same exit code, and a cause
        ((LOST_PEER, pod("Failed", 137, LATE, reason="OOMKilled")), False, 1),
        # of two consequences the first
        ((KILLED, LOST_PEER), False, 1),
        # a pod that was taken away by force left no exit code
        ((LOST_PEER, pod(gone=True)), False, 1),
    ],
)
def test_the_pod_whose_state_is_the_launchs(pods: tuple[Seen, ...], over: bool, rank: int) -> None:
    """See the table."""
    assert speaker(dict(enumerate(pods)), nodes=len(pods), over=over) is pods[rank]


def test_while_the_cause_may_be_unseen_nobody_speaks() -> None:
    """Nothing was seen yet, or nothing but a consequence."""
    assert speaker({}, nodes=2, over=True) is None
    assert speaker({0: LOST_PEER}, nodes=2, over=False) is None


def test_a_pods_rank_is_its_index_in_the_job() -> None:
    """The label of an Indexed Job; another Job's only pod is the first."""
    assert rank_of({"metadata": {"labels": {INDEX_LABEL: "3"}}}) == 3
    assert rank_of({"metadata": {}}) == 0
