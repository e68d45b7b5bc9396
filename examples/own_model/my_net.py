"""A network of one's own for handwritten digits: its signature says what can be searched."""

from __future__ import annotations

from math import prod
from typing import Literal

import torch
from blocks import Residual
from torch import nn


class Net(nn.Module):
    """Residual blocks of one width.

    Args:
        inputs: shape of one example, given by Modelyard: (C, H, W), or (features,) of a table.
        outputs: number of classes, or 1 for a number; given by Modelyard too.
        width: units of each block.
        blocks: how many.
        activation: within a block.
        dropout: share of a block's activations that is dropped in training.
    """

    def __init__(
        self,
        inputs: tuple[int, ...],
        outputs: int,
        *,
        width: int = 64,
        blocks: int = 2,
        activation: Literal["relu", "gelu"] = "gelu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(prod(inputs), width),
            *(Residual(width, activation, dropout) for _ in range(blocks)),
            nn.LayerNorm(width),
            nn.Linear(width, outputs),
        )

    def forward(self, examples: torch.Tensor) -> torch.Tensor:
        """A batch of examples to one row each: logits by class, or one number."""
        return self.layers(examples)
