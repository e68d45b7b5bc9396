"""A residual network for small images (He et al. 2015, "Deep Residual Learning", section 4.2)."""

from __future__ import annotations

import torch
from torch import nn

from modelyard.models.convolutions import convolved
from modelyard.models.layers import ACTIVATIONS
from modelyard.models.layers import dropout as dropped
from modelyard.models.networks import SMALLEST_IMAGE

STAGES = 3
"""Groups of blocks; each but the first halves the image and doubles the filters."""

LARGE = 40
"""Pixels of the shorter side above which the first convolution halves the image."""


class ResNet(nn.Module):
    """A convolution, three stages of residual blocks, the mean over the image, then the output.

    With ``depth`` n it is the paper's network of 6n + 2 layers for CIFAR, but for the shortcuts,
    which are convolutions of one pixel where the shape changes (its option B). Images that are
    larger than ``LARGE`` pixels on the shorter side are halved by the first convolution, so that
    each stage sees about what it sees in images of 32 pixels.

    Args:
        shape: of one example, (C, H, W).
        outputs: classes, or 1 for a regression.
        width: filters of the first stage; each further stage has twice as many.
        depth: blocks of each stage.
        activation: a key of ``layers.ACTIVATIONS``.
        norm: one of ``networks.NORMS``.
        dropout: share of the averaged image dropped in training.
    """

    def __init__(
        self,
        *,
        shape: tuple[int, ...],
        outputs: int,
        width: int,
        depth: int,
        activation: str,
        norm: str,
        dropout: float,
    ) -> None:
        super().__init__()
        channels, *sides = shape
        side = min(sides)
        stem = 2 if side > LARGE else 1
        side //= stem
        blocks: list[nn.Module] = []
        before = width
        for stage in range(STAGES):
            stride = 2 if stage and side >= SMALLEST_IMAGE else 1
            side //= stride
            after = width * 2**stage
            for number in range(depth):
                blocks.append(Block(before, after, stride if number == 0 else 1, activation, norm))
                before = after
        self.stem = nn.Sequential(
            *convolved(channels, width, 3, norm=norm, stride=stem), ACTIVATIONS[activation]()
        )
        self.body = nn.Sequential(*blocks)
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), dropped(dropout), nn.Linear(before, outputs)
        )

    def forward(self, examples: torch.Tensor) -> torch.Tensor:
        """(n, C, H, W) float32 → (n, outputs): logits, or standardised values."""
        result: torch.Tensor = self.head(self.body(self.stem(examples)))
        return result


class Block(nn.Module):
    """Two convolutions with norms, whose sum with what came in is activated.

    Args:
        before, after: filters.
        stride: of the first convolution; 2 halves the image.
        activation: a key of ``layers.ACTIVATIONS``.
        norm: one of ``networks.NORMS``.
    """

    def __init__(self, before: int, after: int, stride: int, activation: str, norm: str) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *convolved(before, after, 3, norm=norm, stride=stride),
            ACTIVATIONS[activation](),
            *convolved(after, after, 3, norm=norm),
        )
        same = before == after and stride == 1
        self.shortcut = (
            nn.Identity()
            if same
            else nn.Sequential(*convolved(before, after, 1, norm=norm, stride=stride))
        )
        self.activation = ACTIVATIONS[activation]()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(n, before, H, W) → (n, after, H / stride, W / stride)."""
        result: torch.Tensor = self.activation(self.body(images) + self.shortcut(images))
        return result
