"""A piece that the network is made of: files beside the model travel with it."""

from __future__ import annotations

import torch
from torch import nn

ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU}


class Residual(nn.Module):
    """Adds what one hidden layer makes of its input."""

    def __init__(self, width: int, activation: str, dropout: float) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, width),
            ACTIVATIONS[activation](),
            nn.Dropout(dropout),
        )

    def forward(self, examples: torch.Tensor) -> torch.Tensor:
        """(n, width) → (n, width)."""
        return examples + self.inner(examples)
