"""What a rollout does."""

from __future__ import annotations

from modelyard.deploy.rollout import Instance, Rollout, plan


def instance(version: int, *, port: int = 8080, well: bool = True) -> Instance:
    return Instance(
        service=f"model-digits.{version}.{port}",
        version=version,
        port=port,
        process=1000 + version,
        well=well,
    )


def test_the_first_version_is_started_on_a_free_port() -> None:
    """Nothing runs: a port is to be found, nobody is taken over."""
    assert plan([], version=1, port="auto") == Rollout(
        clear=(), keep=None, port=None, take_over=(), retire=()
    )


def test_the_next_version_takes_the_port_of_the_one_before() -> None:
    """The model's address stays, and the old version ends only after the new one serves."""
    old = instance(1)
    assert plan([old], version=2, port="auto") == Rollout(
        clear=(), keep=None, port=8080, take_over=(old,), retire=(old,)
    )


def test_the_wanted_version_that_serves_is_kept() -> None:
    """A repeated deploy starts nothing."""
    serving = instance(2)
    assert plan([serving], version=2, port="auto") == Rollout(
        clear=(), keep=serving, port=8080, take_over=(), retire=()
    )


def test_a_handover_that_was_cut_short_is_finished() -> None:
    """Of two that serve on one port, the one that isn't wanted ends."""
    old, new = instance(1), instance(2)
    assert plan([old, new], version=2, port="auto") == Rollout(
        clear=(), keep=new, port=8080, take_over=(), retire=(old,)
    )


def test_one_that_does_not_answer_is_cleared_before_anything_starts() -> None:
    """A dead weight would take requests away from the new one."""
    sick = instance(2, well=False)
    assert plan([sick], version=2, port="auto") == Rollout(
        clear=(sick,), keep=None, port=None, take_over=(), retire=()
    )


def test_another_port_in_the_file_moves_the_model() -> None:
    """The same version on another port is started there before the old one ends."""
    old = instance(1)
    assert plan([old], version=1, port=9000) == Rollout(
        clear=(), keep=None, port=9000, take_over=(), retire=(old,)
    )
