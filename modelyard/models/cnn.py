"""A small convolutional network."""

from __future__ import annotations

import torch
from torch import nn

from modelyard.models.layers import dropout

POOLED = 4
"""Pixels of a side above which the last block's image is averaged down to this many."""


class Cnn(nn.Module):
    """Blocks of convolution → norm → ReLU → pooling, one hidden layer, then the output.

    A block halves the image while its shorter side has at least 4 pixels, so every depth works
    on every size.

    Args:
        shape: of one example, (C, H, W).
        outputs: classes, or 1 for a regression.
        channels: filters of the first block; each further block has twice as many.
        depth: blocks.
        kernel: side of a filter in pixels, odd.
        pooling: ``max`` or ``average``.
        norm: ``batch`` or ``none``.
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
        hidden: int,
        dropout: float,
    ) -> None:
        super().__init__()
        width, height, across = shape
        blocks: list[nn.Module] = []
        for number in range(depth):
            filters = channels * 2**number
            halve = min(height, across) >= 4
            blocks.append(_block(width, filters, kernel, norm, pooling if halve else None))
            width = filters
            if halve:
                height, across = height // 2, across // 2
        side = (min(height, POOLED), min(across, POOLED))
        if side != (height, across):
            blocks.append(nn.AdaptiveAvgPool2d(side))
        self.body = nn.Sequential(*blocks, nn.Flatten())
        self.head = _head(width * side[0] * side[1], hidden, outputs, dropout)

    def forward(self, examples: torch.Tensor) -> torch.Tensor:
        """(n, C, H, W) float32 → (n, outputs): logits, or standardised values."""
        result: torch.Tensor = self.head(self.body(examples))
        return result


def _block(before: int, after: int, kernel: int, norm: str, pooling: str | None) -> nn.Module:
    batch = norm == "batch"
    pieces: list[nn.Module] = [
        # A bias ahead of batch norm would be subtracted again with the mean.
        nn.Conv2d(before, after, kernel, padding=kernel // 2, bias=not batch)
    ]
    if batch:
        pieces.append(nn.BatchNorm2d(after))
    pieces.append(nn.ReLU())
    if pooling is not None:
        pieces.append(nn.MaxPool2d(2) if pooling == "max" else nn.AvgPool2d(2))
    return nn.Sequential(*pieces)


def _head(inputs: int, hidden: int, outputs: int, share: float) -> nn.Module:
    return nn.Sequential(
        dropout(share),
        nn.Linear(inputs, hidden),
        nn.ReLU(),
        dropout(share),
        nn.Linear(hidden, outputs),
    )
