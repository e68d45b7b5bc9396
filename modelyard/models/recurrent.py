"""Recurrent networks for texts: LSTM (Hochreiter, Schmidhuber 1997) and GRU (Cho et al. 2014)."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from modelyard.data.tokens import PADDING
from modelyard.models.layers import dropout as dropped
from modelyard.models.words import embedded_words, mean_of_words

CELLS: dict[str, type[nn.LSTM] | type[nn.GRU]] = {"lstm": nn.LSTM, "gru": nn.GRU}


class Recurrent(nn.Module):
    """Embedded words → recurrent layers → one vector of the text → the output.

    The layers see a text's own words only, and never the padding behind them: the answer to a
    text doesn't depend on how long the others of its batch are.

    Args:
        cell: a key of ``CELLS``.
        shape: of one example, (length,) ids.
        vocabulary: how many ids there are.
        outputs: classes, or 1 for a regression.
        embedding: units of a word's vector.
        hidden: units of each layer, in each direction.
        layers: how many.
        bidirectional: a second row of layers reads each text from its end.
        pooling: the text's vector is the ``mean`` over its words, or the ``last`` state that each
            direction came to.
        dropout: share of the embeddings, of what goes between layers and of the text's vector
            that is dropped in training.
    """

    def __init__(
        self,
        *,
        cell: str,
        shape: tuple[int, ...],
        vocabulary: int,
        outputs: int,
        embedding: int,
        hidden: int,
        layers: int,
        bidirectional: bool,
        pooling: str,
        dropout: float,
    ) -> None:
        super().__init__()
        del shape  # any length goes
        self.words = nn.Sequential(embedded_words(vocabulary, embedding), dropped(dropout))
        self.body = CELLS[cell](
            embedding,
            hidden,
            layers,
            batch_first=True,
            bidirectional=bidirectional,
            dropout=dropout if layers > 1 else 0.0,
        )
        self.pooling = pooling
        self.directions = 2 if bidirectional else 1
        self.head = nn.Sequential(dropped(dropout), nn.Linear(hidden * self.directions, outputs))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """(n, length) int32 ids → (n, outputs): logits, or standardised values."""
        # A text without words is read as one padding: zeros, whose state is learnt as any other.
        lengths = (ids != PADDING).sum(1).clamp(min=1)
        # Packing wants the lengths on the host; what is read there is one number a text.
        packed = pack_padded_sequence(
            self.words(ids), lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        states, last = self.body(packed)
        if self.pooling == "mean":
            padded, _ = pad_packed_sequence(states, batch_first=True, total_length=ids.shape[1])
            text = mean_of_words(padded, ids)
        else:
            hidden = last[0] if isinstance(last, tuple) else last
            text = hidden[-self.directions :].transpose(0, 1).flatten(1)
        result: torch.Tensor = self.head(text)
        return result
