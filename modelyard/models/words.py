"""What text networks share: embedded words, and which ids are none."""

from __future__ import annotations

import torch
from torch import nn

from modelyard.data.tokens import PADDING

DEVIATION = 0.1
"""Of the embeddings before training. torch's own 1 drowns what a small set can teach them."""


def embedded_words(vocabulary: int, width: int) -> nn.Embedding:
    """A vector for each id; that of padding is zero and stays so.

    Args:
        vocabulary: how many ids there are.
        width: of a vector.
    """
    embedding = nn.Embedding(vocabulary, width, padding_idx=PADDING)
    # The device meta holds no numbers to draw.
    if not embedding.weight.is_meta:
        nn.init.normal_(embedding.weight, std=DEVIATION)
        with torch.no_grad():
            embedding.weight[PADDING].zero_()
    return embedding


def mean_of_words(states: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """The mean of the states of real words; of a text without words, zeros.

    Args:
        states: (n, length, width), any numbers where ``ids`` is padding.
        ids: (n, length).

    Returns:
        (n, width).
    """
    real = (ids != PADDING).unsqueeze(2)
    total = states.masked_fill(~real, 0.0).sum(1)
    return total / real.sum(1).clamp(min=1)
