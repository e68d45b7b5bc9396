"""Learning-rate schedules against their sources."""

from __future__ import annotations

import math

import pytest
import torch

from modelyard.errors import InputError
from modelyard.experiment.training import Schedule
from modelyard.train.schedules import SCHEDULES, Horizon, Rates

HORIZON = Horizon(epochs=6, steps=5)


def curve(schedule: object, horizon: Horizon = HORIZON) -> list[float]:
    """The rate at each step of a fit whose highest rate is 0.1."""
    rate = Rates(Schedule.model_validate(schedule), 0.1, horizon)
    return [rate(step) for step in range(horizon.total)]


def torch_curve(make: object) -> list[float]:
    """The rate at each step under one of torch's schedulers, stepped once a step."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    scheduler = make(optimizer)  # type: ignore[operator]
    values = []
    for _ in range(HORIZON.total):
        values.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return values


def test_one_cycle_is_that_of_torch() -> None:
    """One-cycle goes as torch's OneCycleLR with its default bounds."""
    expected = torch_curve(
        lambda o: torch.optim.lr_scheduler.OneCycleLR(
            o, max_lr=0.1, total_steps=HORIZON.total, cycle_momentum=False
        )
    )

    assert curve("one-cycle") == pytest.approx(expected, rel=1e-9)


def test_cosine_is_that_of_torch() -> None:
    """Cosine goes as torch's CosineAnnealingLR over all steps."""
    expected = torch_curve(
        lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=HORIZON.total)
    )

    assert curve("cosine") == pytest.approx(expected, rel=1e-9)


def test_step_falls_by_its_factor_every_few_epochs() -> None:
    """Step multiplies by its factor after each ``every`` epochs and not in between."""
    found = curve({"name": "step", "every": 2, "factor": 0.5})

    assert found == pytest.approx([0.1] * 10 + [0.05] * 10 + [0.025] * 10)


def test_exponential_falls_every_epoch() -> None:
    """Exponential multiplies by its factor after each epoch; without one it aims at a hundredth."""
    given = curve({"name": "exponential", "factor": 0.5})
    default = Rates(Schedule(name="exponential"), 0.1, HORIZON)

    assert given[::5] == pytest.approx([0.1 * 0.5**epoch for epoch in range(6)])
    assert default(HORIZON.total) == pytest.approx(0.001)


def test_constant_stays() -> None:
    """Constant is the learning rate itself."""
    assert set(curve("constant")) == {0.1}


@pytest.mark.parametrize("name", [name for name in SCHEDULES if name != "one-cycle"])
def test_warm_up_rises_linearly_to_the_highest_rate(name: str) -> None:
    """Every schedule but one-cycle, which has its own, begins with a straight rise when asked."""
    every = {"every": 6} if name == "step" else {"factor": 1} if name == "exponential" else {}
    found = curve({"name": name, "warmup": 0.2, **every})

    assert found[:6] == pytest.approx([0.1 * step / 6 for step in range(1, 7)])
    assert found[6] == pytest.approx(0.1)
    assert found[-1] < 0.01 if name == "cosine" else found[-1] == pytest.approx(0.1)


def test_plateau_is_that_of_torch() -> None:
    """Plateau lowers the rate when torch's ReduceLROnPlateau does, also after a restart."""
    losses = [1.0, 0.8, 0.8, 0.79999, 0.9, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7, 0.6]
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=2)
    schedule = Schedule.model_validate({"name": "plateau", "factor": 0.5, "patience": 2})
    ours = Rates(schedule, 0.1, HORIZON)

    for loss in losses:
        theirs.step(loss)
        ours.after(loss)
        again = Rates(schedule, 0.1, HORIZON)
        again.restore(ours.to_json())
        ours = again
        assert ours(0) == pytest.approx(optimizer.param_groups[0]["lr"])
    assert ours(0) < 0.1


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_bears_the_shortest_fit(name: str) -> None:
    """A fit of one step gets a rate above 0 and at most the highest."""
    (only,) = curve(name, Horizon(epochs=1, steps=1))

    assert 0 < only <= 0.1
    assert math.isfinite(only)


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ({"name": "step", "evry": 2}, "step has no option evry; it has every, factor"),
        ({"name": "cosine", "factor": 0.5}, "cosine has no option factor; it has warmup"),
        ({"name": "plateau", "patience": -1}, "-1 is not a whole number of epochs"),
        ({"name": "step", "every": 1.5}, "1.5 is not a whole number of epochs"),
        ({"name": "exponential", "factor": 2}, "2 is not a number above 0 and at most 1"),
        ({"name": "one-cycle", "warmup": "long"}, "'long' is not a number"),
    ],
)
def test_wrong_option_is_said(schedule: dict[str, object], message: str) -> None:
    """An option that doesn't exist or doesn't fit is an error that names it and what is valid."""
    with pytest.raises(InputError, match=message):
        curve(schedule)
