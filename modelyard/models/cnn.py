"""A small convolutional network."""

from __future__ import annotations

import torch
from torch import nn

from modelyard.models.convolutions import convolved
from modelyard.models.layers import ACTIVATIONS
from modelyard.models.layers import dropout as dropped
from modelyard.models.networks import SMALLEST_IMAGE

POOLINGS: dict[str, type[nn.Module]] = {"max": nn.MaxPool2d, "average": nn.AvgPool2d}
"""How a block halves its image, by its name in the experiment file."""

POOLED = 4
"""Pixels of a side above which the last block's image is averaged down to this many."""


class Cnn(nn.Module):
    """Blocks of convolution → norm → activation → pooling, one hidden layer, then the output.

    A block halves the image while its shorter side has at least ``SMALLEST_IMAGE`` pixels, so
    every depth works on every size.

    Args:
        shape: of one example, (C, H, W).
        outputs: classes, or 1 for a regression.
        channels: filters of the first block; each further block has twice as many.
        depth: blocks.
        kernel: side of a filter in pixels, odd.
        pooling: ``max`` or ``average``.
        norm: one of ``networks.NORMS``.
        activation: a key of ``layers.ACTIVATIONS``.
        hidden: units of the hidden layer.
        dropout: share of the hidden layer's inputs and activations dropped in training.
    """

    def __init__(
        self,
        *,
        shape: tuple[int, ...],
        outputs: int,
        channels: int,
        depth: int,
        kernel: int,
        pooling: str,
        norm: str,
        activation: str,
        hidden: int,
        dropout: float,
    ) -> None:
        super().__init__()
        width, height, across = shape
        blocks: list[nn.Module] = []
        for number in range(depth):
            filters = channels * 2**number
            halve = min(height, across) >= SMALLEST_IMAGE
            blocks.append(
                nn.Sequential(
                    *convolved(width, filters, kernel, norm=norm),
                    ACTIVATIONS[activation](),
                    *([POOLINGS[pooling](2)] if halve else []),
                )
            )
            width = filters
            if halve:
                height, across = height // 2, across // 2
        side = (min(height, POOLED), min(across, POOLED))
        if side != (height, across):
            blocks.append(nn.AdaptiveAvgPool2d(side))
        self.body = nn.Sequential(*blocks, nn.Flatten())
        self.head = nn.Sequential(
            dropped(dropout),
            nn.Linear(width * side[0] * side[1], hidden),
            ACTIVATIONS[activation](),
            dropped(dropout),
            nn.Linear(hidden, outputs),
        )

    def forward(self, examples: torch.Tensor) -> torch.Tensor:
        """(n, C, H, W) float32 → (n, outputs): logits, or standardised values."""
        result: torch.Tensor = self.head(self.body(examples))
        return result
