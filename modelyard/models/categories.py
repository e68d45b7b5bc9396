"""Categories as vectors: what a network makes of columns that hold ids."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import nn

from modelyard.data.encoders import FIRST_ID

DEVIATION = 0.1
"""Of the vectors before training; numbers beside them have a deviation of 1."""


def units(ids: int) -> int:
    """Units of a vector by how many ids there are: fastai's rule, min(600, 1.6 · ids^0.56)
    (``fastai.tabular.model.emb_sz_rule``), which its authors found by trying."""
    return min(600, round(1.6 * math.pow(ids, 0.56)))


class EmbeddedCategories(nn.Module):
    """Puts a learnt vector in the place of each id; the other features stay as they are.

    Vectors of what is no category, unseen or missing, start as zeros: as if the column were
    silent.

    Args:
        features: of an example.
        categories: features that are ids, by their places: place, and how many ids there are.
        width: units of each vector; None: ``units``.
    """

    def __init__(
        self, features: int, categories: tuple[tuple[int, int], ...], width: int | None
    ) -> None:
        super().__init__()
        self._places = [place for place, _ in categories]
        ends = [-1, *self._places, features]
        self._between = [(a + 1, b) for a, b in pairwise(ends) if a + 1 < b]
        self.vectors = nn.ModuleList(
            _vectors(ids, units(ids) if width is None else width) for _, ids in categories
        )
        self.width = features - len(categories)
        """Units that come out."""
        for each in self.vectors:
            assert isinstance(each, nn.Embedding)
            self.width += each.embedding_dim

    def forward(self, examples: torch.Tensor) -> torch.Tensor:
        """(n, features) float32 → (n, width): the numbers, then the vectors."""
        numbers = [examples[:, start:end] for start, end in self._between]
        ids = (examples[:, place].long() for place in self._places)
        vectors = [each(one) for each, one in zip(self.vectors, ids, strict=True)]
        return torch.cat([*numbers, *vectors], dim=1)


def _vectors(ids: int, width: int) -> nn.Embedding:
    embedding = nn.Embedding(ids, width)
    # The device meta holds no numbers to draw.
    if not embedding.weight.is_meta:
        nn.init.normal_(embedding.weight, std=DEVIATION)
        with torch.no_grad():
            embedding.weight[:FIRST_ID].zero_()
    return embedding
