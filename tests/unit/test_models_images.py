"""Networks for images: sizes, channels and their parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from modelyard.models.convolutions import normed
from modelyard.models.families import FAMILIES
from modelyard.models.network import Shape, build_module
from modelyard.models.resnet import ResNet
from modelyard.train.fit import fit
from tests.support.fitting import SMALL, Recorder, digits, job

SIZES = [(1, 8, 8), (3, 8, 8), (1, 28, 28), (3, 32, 32), (3, 64, 64), (2, 5, 11), (1, 1, 9)]


def module(family: str, shape: tuple[int, ...], **changed: Any) -> torch.nn.Module:
    """A fresh small module for 3 classes."""
    torch.manual_seed(0)
    parameters = FAMILIES[family].complete({**SMALL[family], **changed})
    return build_module(family, parameters, Shape(inputs=shape, outputs=3), dropout=0.1)


@pytest.mark.parametrize("shape", SIZES, ids=lambda shape: "x".join(map(str, shape)))
@pytest.mark.parametrize("family", ["cnn", "resnet"])
def test_every_size_and_channels_go(family: str, shape: tuple[int, ...]) -> None:
    """From 1 × 9 to 64 × 64 pixels, of one to three channels, deep or not: logits for each."""
    for depth in (1, 3):
        net = module(family, shape, depth=depth)
        said = net(torch.randn(4, *shape))

        assert said.shape == (4, 3)
        said.sum().backward()
        assert all(p.grad is not None for p in net.parameters())


@pytest.mark.parametrize("family", ["cnn", "resnet"])
@pytest.mark.parametrize("norm", ["batch", "group", "none"])
@pytest.mark.parametrize("activation", ["relu", "gelu", "silu", "tanh"])
def test_norm_and_activation_are_what_is_asked_for(family: str, norm: str, activation: str) -> None:
    """Every norm goes with every activation, and only what is asked for is in the module."""
    net = module(family, (3, 8, 8), norm=norm, activation=activation)
    names = {type(part).__name__.lower() for part in net.modules()}

    assert net(torch.randn(2, 3, 8, 8)).isfinite().all()
    assert {"relu", "gelu", "silu", "tanh"} & names == {activation}
    assert {"batchnorm2d", "groupnorm"} & names == {
        "batch": {"batchnorm2d"},
        "group": {"groupnorm"},
        "none": set(),
    }[norm]


def test_groups_share_the_filters_evenly() -> None:
    """Any number of filters has groups of one size, eight where that goes."""
    groups = [normed("group", filters).num_groups for filters in (1, 6, 8, 24, 36)]

    assert groups == [1, 2, 8, 8, 4]


def test_resnet_is_the_one_of_the_paper() -> None:
    """With 16 filters and 3 blocks a stage it has the layers and weights of ResNet-20 for CIFAR:
    0.27 million, besides the two shortcuts of one pixel."""
    net = ResNet(
        shape=(3, 32, 32), outputs=10, width=16, depth=3, activation="relu", norm="batch", dropout=0
    )
    layers = [p for n, p in net.named_parameters() if p.dim() > 1 and "shortcut" not in n]
    weights = sum(p.numel() for n, p in net.named_parameters() if "shortcut" not in n)

    assert len(layers) == 20
    assert weights == 269_722
    assert [tuple(net.body[:n](torch.zeros(1, 16, 32, 32)).shape) for n in (3, 6, 9)] == [
        (1, 16, 32, 32),
        (1, 32, 16, 16),
        (1, 64, 8, 8),
    ]


@pytest.mark.parametrize("family", ["cnn", "resnet"])
def test_digits_are_learnt(family: str, tmp_path: Path) -> None:
    """A few epochs tell handwritten digits apart far better than chance."""
    work = job(
        digits(tmp_path / "data", rows=500),
        tmp_path / "scratch",
        family=family,
        epochs=5,
        parameters={**SMALL[family], "norm": "group"},
        train={"learning_rate": 0.02, "batch_size": 32},
    )

    assert fit(work, Recorder()).metrics["accuracy"] > 0.7
