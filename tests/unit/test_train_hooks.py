"""Hooks: what they are shown, what they may add, and that a fit with them resumes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.utils import get_total_norm

from modelyard.data.preprocess import Preprocessor
from modelyard.models.families import FAMILIES
from modelyard.models.network import Shape
from modelyard.train.errors import Stopped
from modelyard.train.hooks import BatchView, FitView, Hook
from modelyard.train.network import NetworkFit
from modelyard.train.plan import NetworkPlan
from modelyard.train.recipe import write_recipe
from tests.support.fitting import Recorder, experiment, resident, table

STEPS = 4
"""Batches of an epoch: 240 rows by 64."""


class Counting(Hook):
    """Counts its calls, and sums the gradient of the last layer's bias over all steps."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.places: list[tuple[int, int, int]] = []
        self.total = torch.zeros(2)

    def start(self, fit: FitView) -> None:
        """Note where it begins."""
        self.calls.append(f"start {fit.epoch}")

    def batch(self, fit: FitView, batch: BatchView) -> None:
        """Sum the gradient, and note the place."""
        assert len(batch.features) == len(batch.target) == len(batch.raw)
        self.places.append((fit.epoch, fit.step, batch.number))
        gradient = list(fit.module.parameters())[-1].grad
        assert gradient is not None
        self.total += gradient

    def epoch(self, fit: FitView, values: Mapping[str, float]) -> Mapping[str, float]:
        """Add a metric."""
        self.calls.append(f"epoch {fit.epoch}")
        return {"drift": float(self.total.abs().sum()) + 0 * values["validation_loss"]}

    def end(self, fit: FitView) -> None:
        """Note the end."""
        self.calls.append(f"end {fit.epoch}")

    def state(self) -> dict[str, torch.Tensor]:
        """The sum."""
        return {"total": self.total}

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """The sum again."""
        self.total = state["total"]


class Norms(Hook):
    """Keeps the norm of the whole gradient in each step, before it is clipped and after."""

    def __init__(self) -> None:
        self.gradients: dict[str, torch.Tensor] = {}
        self.before: list[float] = []
        self.after: list[float] = []

    def start(self, fit: FitView) -> None:
        """Have each weight keep its gradient as the backward pass leaves it."""
        for name, weight in fit.module.named_parameters():
            weight.register_hook(  # type: ignore[no-untyped-call]
                lambda grad, name=name: self.gradients.update({name: grad.clone()})
            )

    def batch(self, fit: FitView, batch: BatchView) -> None:
        """Take both norms."""
        del batch
        weights = dict(fit.module.named_parameters())
        assert len(fit.optimizer.param_groups) == 2
        assert self.gradients.keys() == weights.keys()
        clipped = [weight.grad for weight in weights.values() if weight.grad is not None]
        self.before.append(float(get_total_norm(self.gradients.values())))
        self.after.append(float(get_total_norm(clipped)))


def network_fit(
    tmp_path: Path, report: Recorder, hooks: tuple[Hook, ...], *, epochs: int = 3, **train: Any
) -> NetworkFit:
    """A fit of the small table with hooks."""
    snapshot = table(tmp_path / "data")
    file = experiment(snapshot, train={"dropout": 0.2, **train})
    recipe = write_recipe(file, FAMILIES["mlp"], {})
    preprocessor = Preprocessor.fit(snapshot.rows("train"), snapshot.card)
    splits = [
        resident(preprocessor.transform(snapshot.rows(name)), snapshot.target(name))
        for name in ("train", "validation")
    ]
    plan = NetworkPlan(
        family="mlp",
        parameters=recipe.parameters,
        shape=Shape(inputs=splits[0].features.shape[1:], outputs=2),
        task="classification",
        train=recipe.train,
        metric="accuracy",
        epochs=epochs,
        seed=3,
        snapshot=snapshot.digest,
        scratch=tmp_path / "scratch",
    )
    return NetworkFit(plan, splits[0], splits[1], report, hooks)


def test_hook_sees_every_step_and_adds_metrics(tmp_path: Path) -> None:
    """A hook is called at start, step, epoch and end; its metrics are told with the epoch's."""
    report, hook = Recorder(), Counting()

    network_fit(tmp_path, report, (hook,)).run()

    assert hook.calls == ["start 0", "epoch 1", "epoch 2", "epoch 3", "end 3"]
    steps = range(1, 3 * STEPS + 1)
    assert hook.places == [((s - 1) // STEPS + 1, s, (s - 1) % STEPS + 1) for s in steps]
    assert all(values["drift"] > 0 for values in report.curve.values())


def test_hooks_go_on_where_a_stopped_fit_was(tmp_path: Path) -> None:
    """What a hook keeps travels with the checkpoint: resumed, it adds the very same metrics."""
    for name in "abc":
        (tmp_path / name).mkdir()
    unbroken, resumed = Recorder(), Recorder()
    network_fit(tmp_path / "a", unbroken, (Counting(),)).run()
    stopped = Recorder(tmp_path / "kept", stop_after=2 * STEPS + 1)
    broken = network_fit(tmp_path / "b", stopped, (Counting(),))
    with pytest.raises(Stopped):
        broken.run()

    hook = Counting()
    fit = network_fit(tmp_path / "c", resumed, (hook,))
    fit.resume(tmp_path / "kept" / "000002")
    fit.run()

    assert hook.calls == ["start 2", "epoch 3", "end 3"]
    assert resumed.curve == {3: unbroken.curve[3]}


def test_metric_that_is_there_already_is_refused(tmp_path: Path) -> None:
    """A hook can't change what the loop or another hook tells."""

    class Lying(Hook):
        """Gives a loss of its own."""

        def epoch(self, fit: FitView, values: Mapping[str, float]) -> Mapping[str, float]:
            """A better loss than there is."""
            return {"train_loss": values["train_loss"] / fit.epochs}

    with pytest.raises(ValueError, match="Lying gives train_loss"):
        network_fit(tmp_path, Recorder(), (Lying(),)).run()


@pytest.mark.parametrize("only_looks", [False, True])
def test_answers_are_those_of_the_weights_that_a_hook_leaves(
    only_looks: bool, tmp_path: Path
) -> None:
    """Who may change them at the end has the network asked anew; who only looks hasn't."""

    class Zeroing(Hook):
        """Leaves nothing of the weights, whatever it says."""

        def end(self, fit: FitView) -> None:
            """By their data, which no version counter of torch sees."""
            for weight in fit.module.parameters():
                weight.data.zero_()

    hook = Zeroing()
    hook.only_looks = only_looks  # type: ignore[misc]
    fit = network_fit(tmp_path, Recorder(), (hook,), epochs=1)
    fit.run()

    assert bool((fit.answers() == 0.5).all()) is not only_looks


@pytest.mark.parametrize("clip", [0.1, None])
def test_norm_told_is_that_of_all_gradients_in_every_16th_step(
    clip: float | None, tmp_path: Path
) -> None:
    """Counted over the whole fit; in an epoch without such a step it is its last one's. Both of
    Muon's groups count, and are clipped as one."""
    report, hook = Recorder(), Norms()

    network_fit(tmp_path, report, (hook,), epochs=12, optimizer="muon", clip_norm=clip).run()

    bound = math.inf if clip is None else clip
    assert min(hook.before) > 0.1
    assert hook.after == pytest.approx([min(norm, bound) for norm in hook.before], rel=1e-4)
    looked = [1, 8, 12, 16, 17, 24, 28, 32, 33, 40, 44, 48]
    told = [values["gradient_norm"] for values in report.curve.values()]
    assert told == pytest.approx([hook.before[step - 1] for step in looked], rel=1e-5)
