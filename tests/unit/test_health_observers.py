"""What the observers see of real fits: scores, numbers, and that a resumed fit sees the same."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from modelyard.data.preprocess import Preprocessor
from modelyard.data.snapshot import Snapshot
from modelyard.health.numbers import CHANNELS, IMAGES, Units, read, write
from modelyard.models.families import FAMILIES
from modelyard.models.network import Shape
from modelyard.train.errors import Stopped
from modelyard.train.fit import FitOutcome, fit
from modelyard.train.hooks import BatchView, FitView, Hook
from modelyard.train.network import NetworkFit
from modelyard.train.observers.activations import ActivationSample
from modelyard.train.observers.gradients import GradientFlow
from modelyard.train.observers.observed import Fitted, Observed, Observers
from modelyard.train.plan import NetworkPlan
from modelyard.train.recipe import write_recipe
from tests.support.fitting import Recorder, digits, experiment, job, resident, table, texts

PLAIN = {"hidden": 32, "layers": 1, "norm": "none", "activation": "relu"}


@pytest.fixture
def snapshot(tmp_path: Path) -> Snapshot:
    """Handwritten digits."""
    return digits(tmp_path / "data")


class Spoil(Hook):
    """Changes the network before its first epoch."""

    def __init__(self, change: Any) -> None:
        self._change = change

    def start(self, fit: FitView) -> None:
        """Change it."""
        with torch.no_grad():
            self._change(fit.module)


def dead_half(module: nn.Module) -> None:
    """Half of the rectifiers far below zero, from where no gradient brings them back."""
    linear = next(part for part in module.modules() if isinstance(part, nn.Linear))
    linear.bias[: len(linear.bias) // 2] = -1e3


def scaled(factor: float) -> Any:
    """All weight matrices that many times as large."""

    def change(module: nn.Module) -> None:
        for weight in module.parameters():
            if weight.ndim > 1:
                weight.mul_(factor)

    return change


def observed(
    snapshot: Snapshot,
    tmp_path: Path,
    *hooks: Hook,
    epochs: int = 8,
    parameters: Any = PLAIN,
    train: Any = None,
) -> Observed:
    """What is seen of a fit of the digits that other hooks take part in."""
    file = experiment(snapshot, train=train or {})
    recipe = write_recipe(file, FAMILIES["mlp"], parameters)
    preprocessor = Preprocessor.fit(snapshot.rows("train"), snapshot.card)
    features = {
        name: preprocessor.transform(snapshot.rows(name)) for name in ("train", "validation")
    }
    splits = [resident(rows, snapshot.target(name)) for name, rows in features.items()]
    plan = NetworkPlan(
        family="mlp",
        parameters=recipe.parameters,
        shape=Shape(inputs=features["train"].shape[1:], outputs=10),
        task="classification",
        train=recipe.train,
        metric="accuracy",
        epochs=epochs,
        seed=3,
        snapshot="",
        scratch=tmp_path / "scratch",
    )
    observers = Observers()
    fitting = NetworkFit(plan, *splits, Recorder(), hooks=(*hooks, *observers.hooks))
    fitting.run()
    return observers.result(
        Fitted(
            rows=len(features["train"]),
            inputs=features["train"].shape[1:],
            truth=snapshot.target("validation"),
            output=fitting.estimator().predict(features["validation"]),
            classes=snapshot.card.classes,
            metrics=fitting.kept_metrics,
            parameters=sum(weight.numel() for weight in fitting.module.parameters()),
            history=fitting.history,
        )
    )


def test_half_the_rectifiers_dead_lowers_utilisation(snapshot: Snapshot, tmp_path: Path) -> None:
    """A fit whose half of the units is dead has half the utilisation and else the same health."""
    rest: Any = {"parameters": {**PLAIN, "hidden": 64}, "train": {"learning_rate": 1e-2}}

    sound = observed(snapshot, tmp_path, **rest).health
    spoilt = observed(snapshot, tmp_path, Spoil(dead_half), **rest).health

    assert spoilt["utilisation"] <= 0.5 < 0.8 < sound["utilisation"]
    others = sound.keys() - {"utilisation", "health"}
    assert {name: spoilt[name] for name in others} == pytest.approx(
        {name: sound[name] for name in others}, abs=0.1
    )


@pytest.mark.parametrize("factor", [0.1, 20.0])
def test_vanishing_and_exploding_gradients_are_seen(
    snapshot: Snapshot, tmp_path: Path, factor: float
) -> None:
    """Ten layers whose weights begin far too small, or too large, lower the gradients' score."""
    deep = {**PLAIN, "layers": 10}

    sound = observed(snapshot, tmp_path, epochs=2, parameters={**deep, "norm": "layer"})
    spoilt = observed(snapshot, tmp_path, Spoil(scaled(factor)), epochs=2, parameters=deep)

    assert sound.health["gradients"] == 1.0
    assert spoilt.health["gradients"] < 0.5


def test_a_wide_network_is_less_efficient(snapshot: Snapshot, tmp_path: Path) -> None:
    """A hundred times the units for much the same accuracy are less efficient."""
    fast = {"learning_rate": 1e-2}
    wide_one = {**PLAIN, "hidden": 3200}

    narrow = observed(snapshot, tmp_path, epochs=20, train=fast).health
    wide = observed(snapshot, tmp_path, parameters=wide_one, epochs=4, train=fast).health

    assert wide["efficiency"] < narrow["efficiency"] - 0.1


def test_a_fit_cut_short_has_not_converged(snapshot: Snapshot, tmp_path: Path) -> None:
    """At a small constant rate the loss still falls at the end; at a sound one it doesn't."""
    slow = {"learning_rate": 1e-4, "schedule": "constant"}

    early = observed(snapshot, tmp_path, train=slow).health
    done = observed(snapshot, tmp_path, train={"learning_rate": 1e-2}).health

    assert early["convergence"] < 0.3 < 0.9 < done["convergence"]


def test_a_violent_rate_is_unstable_and_inconsistent(snapshot: Snapshot, tmp_path: Path) -> None:
    """At a rate that throws the network about, loss and accuracy jump and both scores fall."""
    wild = {"learning_rate": 0.5, "schedule": "constant", "optimizer": "adam", "weight_decay": 0}

    thrown = observed(snapshot, tmp_path, epochs=12, train=wild).health
    calm = observed(snapshot, tmp_path, epochs=12).health

    assert thrown["stability"] < calm["stability"]
    assert thrown["consistency"] < calm["consistency"]


def test_a_fit_comes_with_its_numbers(snapshot: Snapshot, tmp_path: Path) -> None:
    """A CNN keeps gradients of each epoch, histograms of some, maps of four images, and tables."""
    outcome = fit(job(snapshot, tmp_path / "s", family="cnn", epochs=12), Recorder())

    write(outcome.observed.kept, tmp_path / "numbers")
    kept = read(tmp_path / "numbers")

    numbers = kept.numbers
    assert numbers.gradients is not None
    assert numbers.gradients.epochs == tuple(range(1, 13))
    assert {len(row) for row in numbers.gradients.norms} == {len(numbers.gradients.layers)}
    assert all(norm > 0 for row in numbers.gradients.norms for norm in row)
    first = numbers.histograms[0]
    assert (first.part, first.epochs) == ("weight", (1, 5, 8, 12))
    edges, counts = kept.histogram(0)
    assert (np.diff(edges, axis=1) > 0).all()
    assert set(counts.sum(axis=1)) == {24 * 9}
    assert kept.arrays["images"].shape == (IMAGES, 1, 8, 8)
    assert kept.activation(0).shape[:2] == (IMAGES, CHANNELS)
    assert numbers.confusion is not None
    assert np.sum(numbers.confusion.matrix) == sum(one.rows for one in numbers.reliability) == 120
    assert sum(one.units for one in numbers.units) > 0
    assert (tmp_path / "numbers" / "numbers.npz").stat().st_size < 100_000


def test_a_forest_keeps_its_nodes_and_tables(snapshot: Snapshot, tmp_path: Path) -> None:
    """Trees are counted by their nodes, have a confusion matrix, and no layers."""
    few, many = (
        fit(
            job(
                snapshot,
                tmp_path / "s",
                family="random-forest",
                parameters={"n_estimators": count, "max_depth": 6},
            ),
            Recorder(),
        )
        for count in (5, 50)
    )

    numbers = many.observed.kept.numbers
    assert few.observed.health.keys() == {"efficiency", "health"}
    assert 8 < (numbers.parameters or 0) / (few.observed.kept.numbers.parameters or 1) < 12
    assert numbers.confusion is not None
    assert (numbers.gradients, numbers.histograms, numbers.units) == (None, (), ())


def test_a_regression_keeps_values(tmp_path: Path) -> None:
    """A regression has predicted against true values in the target's unit, and no confusion."""
    outcome = fit(
        job(table(tmp_path / "data", regression=True), tmp_path / "s", epochs=6), Recorder()
    )

    kept = outcome.observed.kept
    assert kept.numbers.confusion is None
    assert kept.arrays["regression.true"].mean() == pytest.approx(1000, rel=0.1)
    assert kept.arrays["regression.predicted"].shape == (80,)
    assert outcome.observed.health.keys() == {
        "utilisation",
        "stability",
        "efficiency",
        "gradients",
        "convergence",
        "consistency",
        "health",
    }


@pytest.mark.parametrize(("family", "units"), [("gru", 128), ("transformer", 512)])
def test_units_of_text_models_are_seen(family: str, units: int, tmp_path: Path) -> None:
    """A recurrent layer's states and the wide half of each transformer layer are units."""
    outcome = fit(
        job(texts(tmp_path / "data"), tmp_path / "s", family=family, epochs=1), Recorder()
    )

    numbers = outcome.observed.kept.numbers
    assert sum(one.units for one in numbers.units) == units
    assert (numbers.activations, numbers.gradients is None) == ((), False)


def test_frozen_layers_and_sparse_gradients_are_left_out() -> None:
    """A layer without gradient, or with a sparse one, is no layer that could vanish."""

    class Three(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words = nn.Embedding(5, 4, sparse=True)
            self.frozen = nn.Linear(4, 4, bias=False).requires_grad_(False)
            self.head = nn.Linear(4, 2)

    class View:
        module = Three()
        steps, epoch, device = 1, 1, torch.device("cpu")

    part = View.module
    loss = part.head(part.frozen(part.words(torch.tensor([1, 2])))).square().sum()
    loss.backward()
    flow = GradientFlow()
    flow.start(View())  # type: ignore[arg-type]
    nothing = torch.zeros(0)
    flow.batch(View(), BatchView(1, nothing, nothing, nothing, loss.detach()))  # type: ignore[arg-type]

    found = flow.result()

    assert found is not None
    assert found.layers == ("words", "frozen", "head")
    assert found.norms[0][:2] == found.weights[0][:2] == (0, 0)
    grad = part.head.weight.grad
    assert grad is not None
    assert found.norms[0][2] == pytest.approx(float(grad.norm()))
    assert found.losses == (pytest.approx(loss.item()),)


def assert_same(one: FitOutcome, other: FitOutcome) -> None:
    """Both fits were seen alike, to the last bit."""
    ours, theirs = one.observed, other.observed
    assert ours.health == theirs.health
    assert ours.kept.numbers == theirs.kept.numbers
    assert ours.kept.arrays.keys() == theirs.kept.arrays.keys()
    for name, array in ours.kept.arrays.items():
        assert np.array_equal(array, theirs.kept.arrays[name])


def test_a_resumed_fit_is_seen_as_the_unbroken_one(snapshot: Snapshot, tmp_path: Path) -> None:
    """Stopped in its fourth epoch and resumed, a fit has the same scores and numbers."""
    rest: dict[str, Any] = {"snapshot": snapshot, "scratch": tmp_path / "s", "epochs": 7}
    kept = tmp_path / "kept"
    with pytest.raises(Stopped) as stopped:
        fit(job(**rest), Recorder(kept, stop_after=20))

    resumed = fit(job(**rest, resume=kept / f"{stopped.value.epoch:06d}"), Recorder())

    assert_same(resumed, fit(job(**rest), Recorder()))


@pytest.mark.parametrize(
    ("activation", "idle"), [(nn.ReLU(), 2), (nn.Tanh(), 3), (nn.SiLU(), 2), (nn.LeakyReLU(), 1)]
)
def test_idle_units_are_told_by_what_they_answer(activation: nn.Module, idle: int) -> None:
    """Of units far below zero, at 9 always, at 9 and −9 in turn, and about zero."""

    class Four(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.activation = activation

        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            side = torch.where(torch.arange(len(rows)) % 2 == 0, 9.0, -9.0)
            columns = [rows[:, 0] - 50, rows[:, 0] * 0 + 9, side, rows[:, 0]]
            result: torch.Tensor = self.activation(torch.stack(columns, dim=1))
            return result

    units = judged(Four(), np.random.default_rng(0).normal(size=(40, 1)))

    assert [(one.units, one.idle) for one in units] == [(4, idle)]


def test_units_of_a_convolution_over_positions_are_its_channels() -> None:
    """Not its positions, of which there are more; behind it a layer on tokens has its own."""

    class Text(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution = nn.Conv1d(2, 3, 1)
            self.over_positions, self.transposed, self.of_tokens = nn.ReLU(), nn.ReLU(), nn.ReLU()
            self.head = nn.Linear(3, 4)
            with torch.no_grad():
                self.convolution.weight.copy_(torch.eye(3)[:, :2, None])
                self.convolution.bias.copy_(torch.tensor([0, 0, -1]))  # the last one is dead
                self.head.weight.fill_(1.0)
                self.head.bias.copy_(torch.tensor([0, 0, -99, -99]))

        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            maps = self.convolution(rows)
            self.over_positions(maps)
            result: torch.Tensor = self.of_tokens(self.head(self.transposed(maps.movedim(1, 2))))
            return result

    units = judged(Text(), np.random.default_rng(0).normal(size=(40, 2, 6)))

    found = {one.layer: (one.units, one.idle) for one in units}
    assert found == {"over_positions": (3, 1), "transposed": (3, 1), "of_tokens": (4, 2)}


def test_one_layer_at_a_time_is_held() -> None:
    """Of a deep network on large images all answers together may be more than the memory."""

    class Deep(nn.Module):
        alive = 0

        def __init__(self) -> None:
            super().__init__()
            self.parts = nn.ModuleList([nn.ReLU(), nn.Tanh(), nn.ReLU()])

        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            answers = []
            for part in self.parts:
                rows = part(rows)
                answers.append(weakref.ref(rows))
            self.alive = sum(answer() is not None for answer in answers)
            return rows

    network = Deep()
    assert len(judged(network, np.zeros((4, 1, 8, 8)))) == 3
    assert network.alive == 1


def judged(network: nn.Module, rows: Any) -> tuple[Units, ...]:
    """What is seen of a network's units over some rows."""

    class View:
        module = network
        task = "classification"
        validation = resident(rows, np.zeros(len(rows)))

    sample = ActivationSample()
    sample.end(View())  # type: ignore[arg-type]
    return sample.units
