"""The six scores as formulas: bounds, direction, the constructed cases, and what is absent."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.health.consistency import consistency
from modelyard.health.convergence import convergence
from modelyard.health.efficiency import efficiency
from modelyard.health.gradients import gradients
from modelyard.health.numbers import Gradients, Units
from modelyard.health.scores import WEIGHTS, Measured, overall, score, total
from modelyard.health.stability import stability
from modelyard.health.utilisation import utilisation

SHARES = st.floats(0, 1)
LOSSES = st.floats(1e-6, 1e6)
CURVES = st.lists(LOSSES, max_size=30)

EPOCHS = 20


def falling(epoch: int) -> float:
    """A loss that decays to its floor over twenty epochs."""
    return 0.1 + 2.2 * math.exp(-epoch / 4)


def sound(**changes: Any) -> Measured:
    """A fit without a fault."""
    history = [
        {
            "train_loss": falling(epoch),
            "validation_loss": falling(epoch) + 0.05,
            "validation_accuracy": 0.95 - 0.85 * math.exp(-epoch / 4),
        }
        for epoch in range(EPOCHS)
    ]
    measured = Measured(
        metrics={"accuracy": 0.95},
        chance=0.1,
        parameters=5_000,
        rows=1_000,
        features=64,
        history=history,
        units=(Units(layer="body.1", units=64, idle=0), Units(layer="body.2", units=64, idle=0)),
        gradients=flow(0.1),
    )
    return replace(measured, **changes)


def flow(*relative: float, epochs: int = EPOCHS, loss: float = 1.0) -> Gradients:
    """Gradients whose layers have these norms relative to their weights, in every epoch."""
    layers = tuple(f"layer.{number}" for number in range(len(relative)))
    return Gradients(
        layers=layers,
        epochs=tuple(range(1, epochs + 1)),
        norms=(tuple(5 * one for one in relative),) * epochs,
        weights=((5.0,) * len(relative),) * epochs,
        losses=(loss,) * epochs,
    )


def history(measured: Measured, name: str, change: Any) -> list[dict[str, float]]:
    """A fit's history with one of its curves changed: epoch from 0 and value in, value out."""
    return [
        {**values, name: change(epoch, values[name])}
        for epoch, values in enumerate(measured.history)
    ]


def lowered(changed: Measured) -> set[str]:
    """The scores that a change of the sound fit lowers; none of the others moves."""
    before, after = score(sound()), score(changed)
    assert before.keys() == after.keys()
    moved = {name for name in WEIGHTS if after[name] != before[name]}
    assert all(after[name] < before[name] for name in moved)
    return moved


def test_a_sound_fit_has_high_scores() -> None:
    """A fit without a fault has all six scores, none of them far below 1."""
    scores = score(sound())

    assert scores.keys() == {*WEIGHTS, "health"}
    assert min(scores[name] for name in WEIGHTS) > 0.85


def test_half_the_units_dead_lowers_utilisation_alone() -> None:
    """Half the units dead halves utilisation, and no other score moves."""
    units = tuple(Units(layer=name, units=64, idle=32) for name in ("body.1", "body.2"))

    assert lowered(sound(units=units)) == {"utilisation"}
    assert score(sound(units=units))["utilisation"] == 0.5


def test_a_sawtooth_loss_lowers_stability_alone() -> None:
    """A training loss that goes up every other epoch lowers stability, and no other score."""
    saw = history(sound(), "train_loss", lambda epoch, loss: loss + 0.3 * (epoch % 2))

    assert lowered(sound(history=saw)) == {"stability"}


def test_a_hundred_times_the_parameters_lower_efficiency_alone() -> None:
    """A hundred times as many parameters at the same accuracy lower efficiency, and no other."""
    wide = sound(parameters=500_000)

    assert lowered(wide) == {"efficiency"}
    assert score(sound())["efficiency"] - score(wide)["efficiency"] > 0.1


def test_each_decade_of_size_costs_more_than_the_one_before() -> None:
    """What could just memorise the data is as efficient as anything smaller; from there ten times
    as many parameters cost a 36th, and each further ten times more than those before."""
    memory = 2 * 1_000 + 64
    found = [efficiency(1.0, memory * 10**decade, 1_000, 64) for decade in range(7)]

    assert found == pytest.approx([1 - decade**2 / 36 for decade in range(7)])
    assert efficiency(0.9, 1, 1_000, 64) == efficiency(0.9, memory, 1_000, 64) == 0.9


@pytest.mark.parametrize("relative", [1e-8, 1e-6, 1e3, 1e5, math.inf, 0.0])
def test_vanished_and_exploded_gradients_lower_their_score_alone(relative: float) -> None:
    """A layer whose gradient is lost or overwhelming lowers the gradients' score, no other."""
    assert lowered(sound(gradients=flow(0.1, relative))) == {"gradients"}


def test_a_converged_fit_has_sound_gradients() -> None:
    """A small gradient at a small loss isn't a vanished one; at a loss of 0 there is none."""
    assert gradients([[1e-6]], [[1.0]], [1e-4]) == 1.0
    assert gradients([[1e-6]], [[1.0]], [1.0]) == pytest.approx(1 / 3)
    assert gradients([[0.0]], [[1.0]], [0.0]) == 1.0


def test_a_curve_still_falling_lowers_convergence_alone() -> None:
    """A validation loss that falls in a straight line to the end hasn't converged."""
    line = history(sound(), "validation_loss", lambda epoch, _loss: 2.0 - 0.05 * epoch)

    assert lowered(sound(history=line)) == {"convergence"}
    assert score(sound(history=line))["convergence"] == pytest.approx(0.0, abs=1e-9)


def test_a_rising_validation_loss_is_not_still_falling() -> None:
    """A validation loss that rises again after its best has converged."""
    assert convergence([2.0, 1.0, 0.5, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6]) == 1.0


def test_a_jumping_accuracy_lowers_consistency_alone() -> None:
    """A validation accuracy that jumps by five points each epoch lowers consistency alone."""
    jumps = history(sound(), "validation_accuracy", lambda e, value: value - 0.05 * (e % 2))

    assert lowered(sound(history=jumps)) == {"consistency"}


def test_classical_models_have_the_scores_that_suit_them() -> None:
    """Without epochs, layers and gradients, efficiency alone is measured and is all of health."""
    forest = sound(history=(), units=(), gradients=None)

    scores = score(forest)

    assert scores.keys() == {"efficiency", "health"}
    assert scores["health"] == pytest.approx(scores["efficiency"])


def test_a_short_fit_has_no_score_of_its_curves() -> None:
    """Two epochs tell nothing of stability, convergence and consistency."""
    assert score(sound(history=list(sound().history)[:2])).keys() == {
        "utilisation",
        "efficiency",
        "gradients",
        "health",
    }


def test_a_regression_is_judged_by_its_r2() -> None:
    """Skill and consistency of a regression come from R², clipped to 0 … 1."""
    values = [{"train_loss": 1.0, "validation_r2": r2} for r2 in (-3.0, -1.0, 0.2, 0.7, 0.5, 0.7)]
    measured = sound(metrics={"r2": 0.6}, chance=None, history=values)

    assert score(measured)["efficiency"] == efficiency(0.6, 5_000, 1_000, 64)
    assert score(measured)["consistency"] == consistency([0.0, 0.0, 0.2, 0.7, 0.5, 0.7])


def test_nothing_measured_is_no_score() -> None:
    """A validation split of one class and a model that can't be counted leave no score at all."""
    bare = sound(chance=1.0, history=(), units=(), gradients=None)

    assert score(bare) == {}
    assert score(sound(parameters=None, history=(), units=(), gradients=None)) == {}


def test_weights_are_the_stated_ones() -> None:
    """The weights are 25, 20, 15, 15, 15 and 10 %, scaled up to 1 over what was measured."""
    assert sorted(WEIGHTS.values()) == [0.10, 0.15, 0.15, 0.15, 0.20, 0.25]
    assert sum(WEIGHTS.values()) == pytest.approx(1)
    assert overall({"utilisation": 1.0, "consistency": 0.0}) == pytest.approx(0.25 / 0.35)


def test_the_total_balances_metric_and_health() -> None:
    """The total is the weighted mean of metric and health; without health it is the metric."""
    assert total(0.9, {"health": 0.5}, 0.7) == pytest.approx(0.78)
    assert total(-2.0, {"health": 0.5}, 0.7) == pytest.approx(0.15)
    assert total(0.9, {}, 0.7) == 0.9


@given(st.dictionaries(st.sampled_from(sorted(WEIGHTS)), SHARES, min_size=1))
def test_health_lies_among_its_scores(scores: dict[str, float]) -> None:
    """Health is a mean: never below the lowest score or above the highest."""
    low, high = min(scores.values()), max(scores.values())

    assert low - 1e-9 <= overall(scores) <= high + 1e-9


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1), st.integers(1, 9))
def test_utilisation_falls_with_every_idle_unit(layers: list[tuple[int, int]], more: int) -> None:
    """Utilisation lies within 0 … 1 and falls when further units go idle."""
    before = [Units(layer="", units=alive + idle + more, idle=idle) for alive, idle in layers]
    after = [before[0].model_copy(update={"idle": before[0].idle + more}), *before[1:]]

    one, other = utilisation(before), utilisation(after)

    assert one is not None
    assert other is not None
    assert 0 <= other < one <= 1


@given(CURVES)
def test_stability_is_bounded(losses: list[float]) -> None:
    """Stability is 0 … 1 for any curve, and 1 for the same losses in falling order."""
    found = stability(losses)

    assert found is None or 0 <= found <= 1
    assert found is None or stability(sorted(losses, reverse=True)) == 1


@given(st.lists(LOSSES, min_size=3, max_size=20), st.floats(0.01, 1), st.floats(0.01, 1))
def test_a_larger_sawtooth_is_less_stable(losses: list[float], height: float, more: float) -> None:
    """The higher the teeth on a falling curve, the lower the stability."""
    falling = sorted(losses, reverse=True)
    unit = falling[0] - falling[-1]

    def toothed(tooth: float) -> float | None:
        return stability([x + tooth * unit * (n % 2) for n, x in enumerate(falling)])

    low, high = toothed(height + more), toothed(height)

    assert low is not None
    assert high is not None
    assert low <= high + 1e-9


@given(CURVES)
def test_convergence_is_bounded(losses: list[float]) -> None:
    """Convergence is 0 … 1 for any curve, and 1 when the last epochs are added once more flat."""
    found = convergence(losses)

    assert found is None or 0 <= found <= 1
    if losses:
        assert convergence(losses + [max(losses)] * (len(losses) + 5)) == 1


@given(st.lists(st.floats(0.1, 10), min_size=8, max_size=8), st.floats(0, 5), st.floats(0, 5))
def test_more_gained_in_the_end_is_less_converged(
    losses: list[float], gain: float, more: float
) -> None:
    """The more of its fall a curve takes in the last step, the lower its convergence."""
    start = [20.0, *losses]

    def ending(fall: float) -> float | None:
        return convergence([*start, min(start) - fall])

    less, further = ending(gain), ending(gain + more)

    assert less is not None
    assert further is not None
    assert further <= less + 1e-9


@given(st.lists(SHARES, max_size=30))
def test_consistency_is_bounded(accuracies: list[float]) -> None:
    """Consistency is 0 … 1 for any curve, and 1 for one that only rises."""
    found = consistency(accuracies)

    assert found is None or 0 <= found <= 1
    assert found is None or consistency(sorted(accuracies)) == pytest.approx(1)


@given(st.floats(0, 0.4), st.floats(0, 0.4))
def test_larger_jumps_are_less_consistent(jump: float, more: float) -> None:
    """The wider the validation accuracy jumps, the lower its consistency."""

    def jumping(height: float) -> float | None:
        return consistency([0.5 + height * (epoch % 2) for epoch in range(10)])

    less, further = jumping(jump), jumping(jump + more)

    assert less is not None
    assert further is not None
    assert further <= less


COUNTS = st.integers(1, 10**12)


@given(SHARES, SHARES, COUNTS, COUNTS, st.integers(1, 10**6), st.integers(1, 10**5))
def test_efficiency_rises_with_skill_and_falls_with_size(
    skill: float, better: float, size: int, larger: int, rows: int, features: int
) -> None:
    """Efficiency is 0 … 1, rises with skill at equal size, and falls with size at equal skill."""
    low, high = sorted((skill, better))
    small, large = sorted((size, larger))

    assert 0 <= efficiency(low, small, rows, features) <= 1
    assert efficiency(low, small, rows, features) <= efficiency(high, small, rows, features)
    assert efficiency(low, large, rows, features) <= efficiency(low, small, rows, features)


RELATIVE = st.floats(1e-12, 1e12)


@given(RELATIVE, RELATIVE, st.floats(1e-9, 1e9))
def test_gradients_score_falls_away_from_the_band(one: float, other: float, loss: float) -> None:
    """Below the band the weaker gradient scores less, above it the stronger; always 0 … 1."""
    low, high = sorted((one, other))

    def of(relative: float) -> float:
        found = gradients([[relative]], [[1.0]], [loss])
        assert found is not None
        return found

    assert 0 <= of(low) <= 1
    if high <= 1:
        assert of(low) <= of(high) + 1e-9
    if low >= 1:
        assert of(high) <= of(low) + 1e-9


def test_gradients_of_weights_that_are_zero_tell_nothing() -> None:
    """A weight of 0 has no scale to measure its gradient by: it isn't counted."""
    assert gradients([[1.0, 0.1]], [[0.0, 1.0]], [1.0]) == 1.0
    assert gradients([[1.0]], [[0.0]], [1.0]) is None
    assert gradients([], [], []) is None
