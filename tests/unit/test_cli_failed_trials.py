"""What a run says about the trials that came to nothing."""

from __future__ import annotations

from modelyard.api import FailureView, TrialState, TrialView
from modelyard.cli.summary import why_trials_failed


def trial(number: int, reason: str = "", state: TrialState = TrialState.FAILED) -> TrialView:
    failure = FailureView(category="bug", summary=reason) if reason else None
    return TrialView(number=number, state=state, failure=failure)


def test_each_reason_is_said_once_with_where_to_read_more() -> None:
    """Trials with the same reason are counted; those that ended well are not spoken of."""
    trials = [
        trial(0, "out of words"),
        trial(1, state=TrialState.COMPLETE),
        trial(2, "out of words"),
        trial(3, "out of memory", TrialState.INFEASIBLE),
    ]

    assert why_trials_failed("iris", trials) == [
        "",
        "trial 0 failed and 1 more alike: out of words (`modelyard logs iris 0` shows more)",
        "trial 3 infeasible: out of memory (`modelyard logs iris 3` shows more)",
    ]


def test_a_trial_that_goes_on_has_not_failed() -> None:
    """The failure of an earlier launch says nothing about the trial."""
    running = trial(0, "killed", TrialState.RUNNING)

    assert why_trials_failed("iris", [running]) == []


def test_many_reasons_are_cut() -> None:
    """Three are enough to see what is wrong; how many more there are is said."""
    trials = [trial(number, f"reason {number}") for number in range(5)]

    assert why_trials_failed("iris", trials)[-1] == "and 2 other reasons"
