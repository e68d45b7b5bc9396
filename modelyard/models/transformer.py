"""A transformer encoder for texts (Vaswani et al. 2017, "Attention Is All You Need")."""

from __future__ import annotations

import math

import torch
from torch import nn

from modelyard.data.tokens import PADDING
from modelyard.models.layers import dropout as dropped
from modelyard.models.words import DEVIATION, embedded_words, mean_of_words

FEEDFORWARD = 4
"""Width of a layer's hidden part against its own, as in Vaswani et al."""


class Transformer(nn.Module):
    """Embedded words and positions → layers of attention → mean over the words → the output.

    Layers normalise before attention and before the feed-forward part, which trains without a
    warm-up (Xiong et al. 2020, "On Layer Normalization in the Transformer Architecture").

    Args:
        shape: of one example, (length,) ids.
        vocabulary: how many ids there are.
        outputs: classes, or 1 for a regression.
        heads: of attention in each layer.
        head_width: units of each head; a word's vector has heads × head_width.
        layers: how many.
        positions: ``learnt``, a vector for each place, or ``sinusoidal``, as in Vaswani et al.
        dropout: share of activations, attention among them, dropped in training.
    """

    def __init__(
        self,
        *,
        shape: tuple[int, ...],
        vocabulary: int,
        outputs: int,
        heads: int,
        head_width: int,
        layers: int,
        positions: str,
        dropout: float,
    ) -> None:
        super().__init__()
        length, width = shape[0], heads * head_width
        self.words = embedded_words(vocabulary, width)
        if positions == "learnt":
            self.places = nn.Parameter(torch.randn(length, width) * DEVIATION)
        else:
            self.register_buffer("places", sinusoids(length, width) * DEVIATION)
        self.drop = dropped(dropout)
        self.body = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width,
                heads,
                dim_feedforward=FEEDFORWARD * width,
                dropout=dropout,
                activation="gelu",
                batch_first=True,
                norm_first=True,
            )
            for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, outputs)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """(n, length) int32 ids → (n, outputs): logits, or standardised values."""
        states = self.drop(self.words(ids) + self.places[: ids.shape[1]])
        nothing = ids == PADDING
        # Attention over no place at all is 0 / 0: a text without words attends to its first.
        hidden = nothing & ~(nothing.all(1, keepdim=True) & _first(ids))
        for layer in self.body:
            states = layer(states, src_key_padding_mask=hidden)
        result: torch.Tensor = self.head(mean_of_words(self.norm(states), ids))
        return result


def sinusoids(length: int, width: int) -> torch.Tensor:
    """(length, width) sines and cosines of each place, of wavelengths from 2π to 10,000 · 2π."""
    place = torch.arange(length, dtype=torch.float32).unsqueeze(1)
    rate = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
    angles = place * rate
    return torch.stack([torch.sin(angles), torch.cos(angles)], dim=2).flatten(1)[:, :width]


def _first(ids: torch.Tensor) -> torch.Tensor:
    return torch.arange(ids.shape[1], device=ids.device) == 0
