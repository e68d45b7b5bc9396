"""A multilayer perceptron."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import nn

from modelyard.models.categories import EmbeddedCategories
from modelyard.models.layers import ACTIVATIONS, dropout


class Mlp(nn.Module):
    """Hidden layers of one width, each linear → norm → activation → dropout; then the output.

    Features that are ids of categories become vectors first (Guo and Berkhahn 2016, "Entity
    Embeddings of Categorical Variables").

    Args:
        shape: of one example, (features,) or (C, H, W), which is flattened.
        outputs: classes, or 1 for a regression.
        hidden: units of each hidden layer.
        layers: how many.
        activation: a key of ``layers.ACTIVATIONS``.
        norm: ``batch``, ``layer`` or ``none``.
        dropout: share of each hidden layer's activations that is dropped in training.
        embedding: units of a category's vector; None goes by how many there are.
        categories: features that are ids: their places, and how many ids there are.
    """

    def __init__(
        self,
        *,
        shape: tuple[int, ...],
        outputs: int,
        hidden: int,
        layers: int,
        activation: str,
        norm: str,
        dropout: float,
        embedding: int | None = None,
        categories: tuple[tuple[int, int], ...] = (),
    ) -> None:
        super().__init__()
        read = EmbeddedCategories(shape[0], categories, embedding) if categories else nn.Flatten()
        inputs = read.width if isinstance(read, EmbeddedCategories) else math.prod(shape)
        widths = [inputs, *[hidden] * layers]
        self.body = nn.Sequential(
            read,
            *(
                _layer(before, after, activation, norm, dropout)
                for before, after in pairwise(widths)
            ),
        )
        self.head = nn.Linear(widths[-1], outputs)

    def forward(self, examples: torch.Tensor) -> torch.Tensor:
        """(n, *shape) float32 → (n, outputs): logits, or standardised values."""
        result: torch.Tensor = self.head(self.body(examples))
        return result


def _layer(before: int, after: int, activation: str, norm: str, share: float) -> nn.Module:
    # A bias ahead of batch norm would be subtracted again with the mean.
    linear = nn.Linear(before, after, bias=norm != "batch")
    return nn.Sequential(linear, _norm(norm, after), ACTIVATIONS[activation](), dropout(share))


def _norm(name: str, width: int) -> nn.Module:
    if name == "batch":
        return nn.BatchNorm1d(width)
    return nn.LayerNorm(width) if name == "layer" else nn.Identity()
