"""The parts of a step: losses, Muon, the moving average, augmentation, accumulation."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import nn
from torch.nn import functional

from modelyard.data.preprocess import Preprocessor
from modelyard.errors import InputError
from modelyard.experiment.model import Experiment
from modelyard.experiment.training import Augment, Train
from modelyard.models.families import FAMILIES
from modelyard.models.network import NetworkEstimator, Shape, build_module
from modelyard.train.augment import Augmentation
from modelyard.train.averaging import Average
from modelyard.train.errors import Stopped
from modelyard.train.fit import fit
from modelyard.train.loading import Loader
from modelyard.train.losses import loss_for
from modelyard.train.muon import MuonWithAdamW, hidden_matrices
from modelyard.train.recipe import write_recipe
from tests.support.fitting import Recorder, digits, job, table

CPU = torch.device("cpu")


def images(count: int = 64) -> torch.Tensor:
    """(count, 2, 6, 8) images without a 0."""
    return torch.rand(count, 2, 6, 8, generator=torch.Generator().manual_seed(0)) + 0.5


def augmented(features: torch.Tensor, **wanted: Any) -> torch.Tensor:
    """A batch of images, changed as wanted, unmixed."""
    changed, mixed = Augmentation(Augment(**wanted), tuple(features.shape[1:]), CPU, 1)(features)
    assert mixed is None
    return changed


def test_bce_is_the_binary_cross_entropy_of_the_difference() -> None:
    """Two outputs are judged as one logit would be: the second less the first."""
    target = torch.tensor([0, 0, 0, 1, 0, 1])
    raw = torch.randn(6, 2, generator=torch.Generator().manual_seed(0))
    loss = loss_for(Train(loss="bce"), "classification", target, 2)

    expected = functional.binary_cross_entropy_with_logits(raw[:, 1] - raw[:, 0], target.float())
    assert float(loss(raw, target)) == pytest.approx(float(expected), rel=1e-6)


def test_balanced_weights_are_those_of_scikit_learn() -> None:
    """A rare class weighs as much more as it is rarer."""
    target = np.array([0] * 6 + [1] * 3 + [2])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=target)
    loss = loss_for(Train(class_weights="balanced"), "classification", torch.from_numpy(target), 3)
    by_hand = functional.cross_entropy(
        torch.eye(3),
        torch.tensor([0, 0, 2]),
        weight=torch.tensor(expected, dtype=torch.float32),
        reduction="none",
    ).mean()  # over rows: so the parts of a batch add up to the whole
    assert float(loss(torch.eye(3), torch.tensor([0, 0, 2]))) == pytest.approx(float(by_hand))


@pytest.mark.parametrize(
    ("train", "task", "classes", "message"),
    [
        ({"loss": "bce"}, "classification", 3, "bce is for two classes, and there are 3"),
        ({"loss": "huber"}, "classification", 2, "huber can't learn classification"),
        ({"label_smoothing": 0.1}, "regression", 1, "label_smoothing is for classes"),
        ({"class_weights": "balanced"}, "regression", 1, "class_weights is for classes"),
    ],
)
def test_loss_that_does_not_fit_is_refused(
    train: dict[str, Any], task: Any, classes: int, message: str
) -> None:
    """What has no meaning for the task is an error."""
    with pytest.raises(InputError, match=message):
        loss_for(Train.model_validate(train), task, torch.tensor([0, 1]), classes)


def test_muon_takes_the_hidden_matrices_alone() -> None:
    """Embeddings, the output layer, biases and filters are AdamW's; both move."""
    module = nn.Sequential(
        nn.Embedding(5, 4),
        nn.Flatten(),
        nn.Linear(12, 6),
        nn.Unflatten(1, (1, 6)),
        nn.Conv1d(1, 2, 3),
        nn.Flatten(),
        nn.Linear(8, 2),
    )
    before = [weight.detach().clone() for weight in module.parameters()]
    optimizer = MuonWithAdamW(module, learning_rate=0.1, momentum=0.9, weight_decay=0.0)

    functional.cross_entropy(module(torch.tensor([[0, 1, 2]])), torch.tensor([1])).backward()
    optimizer.step()

    assert [tuple(weight.shape) for weight in hidden_matrices(module)] == [(6, 12)]
    state = optimizer.state_dict()["state"]
    assert [number for number, kept in state.items() if "momentum_buffer" in kept] == [0]
    assert len(state) == len(before)
    assert all(not torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))


def test_positions_of_a_transformer_are_no_matrix_of_muons() -> None:
    """A table under a name of its own goes to AdamW; the maps of attention are Muon's."""
    shape = Shape(inputs=(4,), outputs=2, vocabulary=9)
    parameters = FAMILIES["transformer"].complete({"layers": 1})
    module = build_module("transformer", parameters, shape, 0.0)
    taken = {id(weight) for weight in hidden_matrices(module)}

    names = {name for name, weight in module.named_parameters() if id(weight) in taken}
    assert names == {
        f"body.0.{name}.weight" for name in ("self_attn.out_proj", "linear1", "linear2")
    } | {"body.0.self_attn.in_proj_weight"}


def test_muon_without_a_hidden_matrix_is_refused() -> None:
    """A linear model has none, and the optimisers that can fit it are named."""
    with pytest.raises(InputError, match="valid are adam, adamw, sgd and rmsprop"):
        MuonWithAdamW(nn.Linear(3, 2), learning_rate=0.1, momentum=0.9, weight_decay=0.0)


def test_average_follows_the_weights_and_the_statistics() -> None:
    """After n steps each value is the average with decays (1 + k) / (10 + k), then the full one."""
    module = nn.BatchNorm1d(1)
    average = Average(module, 0.2)
    expected = {"weight": 0.0, "running_mean": 0.0}
    for step, value in enumerate((3.0, 5.0, 9.0), start=1):
        nn.init.constant_(module.weight, value)
        module.running_mean = torch.tensor([2 * value])
        assert module.num_batches_tracked is not None
        module.num_batches_tracked += 1
        average.update(module, step)
        decay = 0.0 if step == 1 else min(0.2, (1 + step) / (10 + step))
        for name, now in (("weight", value), ("running_mean", 2 * value)):
            expected[name] = decay * expected[name] + (1 - decay) * now

    found = average.module.state_dict()
    assert {name: float(found[name]) for name in expected} == pytest.approx(expected)
    assert int(found["num_batches_tracked"]) == 3


def test_averaged_weights_are_what_is_measured_and_kept(tmp_path: Path) -> None:
    """With a moving average the metrics are those of the model that comes out."""
    snapshot = table(tmp_path / "data")
    for keep in ("best", "last"):
        recipe = {"ema": 0.9, "keep": keep, "learning_rate": 0.05}
        found = fit(job(snapshot, tmp_path / "scratch", train=recipe), Recorder())
        output = found.estimator.predict(found.preprocessor.transform(snapshot.rows("validation")))
        said = (output.argmax(axis=1) == snapshot.target("validation")).mean()
        assert said == pytest.approx(found.metrics["accuracy"])


def test_flip_turns_about_half_of_the_images() -> None:
    """Each image is either itself or its mirror image."""
    before = images()
    after = augmented(before, flip=True)

    same = (after == before).flatten(1).all(1)
    turned = (after == before.flip(3)).flatten(1).all(1)
    assert torch.all(same ^ turned)
    assert 16 < int(turned.sum()) < 48


def test_crop_shifts_and_blanks_what_comes_in() -> None:
    """Each image is shifted by at most the margin, both ways, and nothing else is changed."""
    before = images()
    after = augmented(before, crop=2)
    padded = functional.pad(before, (2, 2, 2, 2))

    shifts = set()
    for old, new in zip(padded, after, strict=True):
        found = [
            (y, x)
            for y in range(5)
            for x in range(5)
            if torch.equal(old[:, y : y + 6, x : x + 8], new)
        ]
        shifts.update(found)
        assert len(found) == 1
    assert len(shifts) > 15


def test_cutout_blanks_a_square() -> None:
    """Of each image a square is 0 in all channels, less what lies beyond the edge."""
    before = images()
    blank = augmented(before, cutout=3) == 0

    assert torch.equal(blank[:, 0], blank[:, 1])
    for each in blank[:, 0]:
        rows, columns = each.any(1), each.any(0)
        assert torch.equal(each, rows[:, None] & columns[None, :])
        assert 2 <= int(rows.sum()) <= 3
        assert 2 <= int(columns.sum()) <= 3


def test_mixup_mixes_images_and_losses_alike() -> None:
    """A mixed image is a weighted mean of two, and its loss that of both targets by one share."""
    before = images(4)
    after, mixed = Augmentation(Augment(mixup=1.0), (2, 6, 8), CPU, 1)(before)
    assert mixed is not None

    assert 0.5 <= float(mixed.share) < 1
    expected = mixed.share * before + (1 - mixed.share) * before[mixed.other]
    assert torch.allclose(after, expected)
    raw, target = torch.randn(4, 3), torch.tensor([0, 1, 2, 0])
    share = float(mixed.share)
    assert float(mixed.loss(functional.cross_entropy, raw, target)) == pytest.approx(
        share * float(functional.cross_entropy(raw, target))
        + (1 - share) * float(functional.cross_entropy(raw, target[mixed.other])),
        rel=1e-5,
    )


@pytest.mark.parametrize("name", ["crop", "cutout"])
def test_augmentation_larger_than_the_image_is_refused(name: str) -> None:
    """A margin or a square that takes in whole images is a mistake, with the largest that isn't."""
    with pytest.raises(InputError, match=rf"augment\.{name}: 6 pixels .* below 6"):
        Augmentation(Augment.model_validate({name: 6}), (2, 6, 8), CPU, 1)


def test_accumulated_batches_are_one_large_batch(tmp_path: Path) -> None:
    """Four batches of 16 to a step come to the weights of batches of 64, the short last one too."""
    snapshot = table(tmp_path / "data", rows=385)  # 231 to learn from: 3 × 64 and 39
    weights = []
    for recipe in ({"batch_size": 64}, {"batch_size": 16, "accumulate": 4}):
        parameters = {"norm": "none", "optimizer": "sgd", "learning_rate": 0.1}
        work = job(snapshot, tmp_path / "scratch", train=recipe, parameters=parameters)
        found = fit(work, Recorder())
        assert isinstance(found.estimator, NetworkEstimator)
        weights.append(torch.cat([w.flatten() for w in found.estimator.module.parameters()]))

    assert torch.allclose(*weights, atol=1e-6)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_mixed_precision_learns(precision: str, tmp_path: Path) -> None:
    """Half precision learns the digits as well, and the model stays one of fp32."""
    work = job(
        digits(tmp_path / "data", rows=400),
        tmp_path / "scratch",
        family="mlp",
        epochs=8,
        parameters={"hidden": 32, "learning_rate": 0.01},
        train={"precision": precision},
    )

    found = fit(work, Recorder())

    assert found.metrics["accuracy"] > 0.85
    assert isinstance(found.estimator, NetworkEstimator)
    assert {w.dtype for w in found.estimator.module.parameters()} == {torch.float32}


def test_gradient_norm_is_that_before_clipping(tmp_path: Path) -> None:
    """Every epoch tells the gradient's norm, which clipping doesn't hide."""
    report = Recorder()
    work = job(table(tmp_path / "data"), tmp_path / "scratch", train={"clip_norm": 1e-3})

    fit(work, report)

    assert all(values["gradient_norm"] > 0.01 for values in report.curve.values())


@pytest.mark.parametrize("kind", ["table", "image"])
def test_streamed_data_gives_the_numbers_of_resident_data(kind: str, tmp_path: Path) -> None:
    """Read batch by batch a fit comes to the very weights that it has with all data in memory."""
    folder = tmp_path / "data"
    snapshot = table(folder) if kind == "table" else digits(folder, rows=200)
    weights, curves = [], []
    for resident in (True, False):
        report = Recorder()
        work = job(
            snapshot,
            tmp_path / "scratch",
            epochs=2,
            train={"resident": resident, "loader_workers": 3, "dropout": 0.2},
        )
        found = fit(work, report)
        assert isinstance(found.estimator, NetworkEstimator)
        weights.append(found.estimator.module.state_dict())
        curves.append(report.curve)

    assert curves[0] == curves[1]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_data_is_resident_where_it_fits(tmp_path: Path) -> None:
    """Half of the trial's memory is the bound, unless the file says which it is to be."""
    snapshot = digits(tmp_path / "data", rows=200)
    preprocessor = Preprocessor.fit(snapshot.rows("train"), snapshot.card)
    size = 160 * 64 * 4  # 120 rows to learn from and 40 to measure on

    def resident(memory_bytes: int, **train: Any) -> bool:
        return Loader(
            snapshot=snapshot,
            preprocessor=preprocessor,
            scale=None,
            device=CPU,
            train=Train(**train),
            memory_bytes=memory_bytes,
        ).resident

    assert resident(2 * size)
    assert not resident(2 * size - 1)
    assert resident(1, resident=True)
    assert not resident(2 * size, resident=False)


def test_stop_in_the_middle_of_streamed_data_leaves_no_thread(tmp_path: Path) -> None:
    """The threads that read ahead end with the fit."""
    work = job(table(tmp_path / "data"), tmp_path / "scratch", train={"resident": False})

    with pytest.raises(Stopped):
        fit(work, Recorder(stop_after=2))

    assert not [t for t in threading.enumerate() if t.name.startswith("loader")]


def test_compiling_without_a_compiler_is_refused(tmp_path: Path) -> None:
    """What is missing is said before anything is fitted, and how to go on without."""
    import torch._inductor.config

    report = Recorder()
    work = job(table(tmp_path / "data"), tmp_path / "scratch", train={"compile": True})
    nowhere = torch._inductor.config.patch({"cpp.cxx": ("/nowhere/g++",)})

    with nowhere, pytest.raises(InputError, match=r"no C\+\+ compiler .* write compile: false"):
        fit(work, report)

    assert report.phases == [("loading", False), ("compiling", False)]


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # the compiler's parts warn of each other
def test_compiled_network_learns_as_it_does_without(tmp_path: Path) -> None:
    """Compiling is a phase of its own, and changes what is learnt by no more than rounding."""
    snapshot = table(tmp_path / "data")
    curves = []
    for compile_it in (False, True):
        report = Recorder()
        recipe = {"compile": compile_it, "learning_rate": 0.01}
        fit(job(snapshot, tmp_path / "scratch", epochs=2, train=recipe), report)
        curves.append([values["train_loss"] for values in report.curve.values()])
        assert (("compiling", False) in report.phases) == compile_it

    assert curves[1] == pytest.approx(curves[0], rel=1e-3)


def test_sampled_augmentation_is_laid_over_the_files() -> None:
    """A trial's values replace those of the file, and what it doesn't sample stays."""
    file = Experiment.model_validate(
        {"name": "a", "data": {"source": "x"}, "train": {"augment": {"flip": True, "crop": 1}}}
    )

    recipe = write_recipe(file, FAMILIES["cnn"], {"crop": 2, "mixup": 0.1})

    assert recipe.train.augment == Augment(flip=True, crop=2, mixup=0.1)
