"""From texts to numbers: words, a vocabulary fitted on the training part, ids of one length."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from modelyard.data.encoders import Encoder
from modelyard.data.texts import Texts

PADDING, UNKNOWN = 0, 1
"""Ids that are no word: behind the end of a text, and of a word that has no id of its own."""

FIRST_WORD = 2
"""Id of the most frequent word."""

WORDS = 20_000
LENGTH = 256

SAMPLE = 1_000
"""Texts, evenly spaced, whose tokens are counted at a first look."""

TOKEN = r"\w+(?:['’]\w+)*|[^\w\s]"
"""A word with the apostrophes inside it, or a single sign: ``don't`` is a token, ``!`` another."""


class TextEncoder(Encoder):
    """Texts as ids of their words.

    Letters' case doesn't count. Ids are ``PADDING``, ``UNKNOWN``, then the words of the
    training part by their frequency. A text of more than ``length`` tokens is cut behind them.

    Args:
        name: of the column.
        words: those with an id of their own, the most frequent first.
        length: ids of each text; no more than the longest training text has.
        rare: distinct words of the training part without an id, for which the limit is too low.
        cut: training texts that were longer than ``length``.
    """

    kind: Literal["text"] = "text"
    name: str
    words: tuple[str, ...]
    length: int
    rare: int
    cut: int

    @classmethod
    def fit(cls, texts: Texts, *, words: int = WORDS, length: int = LENGTH) -> TextEncoder:
        """The vocabulary of the training texts, and of no others.

        Args:
            texts: of the training part.
            words: most words with an id of their own.
            length: most tokens of a text.
        """
        tokens = tokenizer()
        counts: Counter[str] = Counter()
        lengths = []
        for text in texts:
            found = tokens(text)
            counts.update(found)
            lengths.append(len(found))
        # By frequency, then by letters: the same whatever the order of the texts.
        order = sorted(counts, key=lambda word: (-counts[word], word))
        return cls(
            name=texts.name,
            words=tuple(order[:words]),
            length=max(1, min(length, max(lengths, default=1))),
            rare=max(0, len(order) - words),
            cut=sum(found > length for found in lengths),
        )

    @cached_property
    def ids(self) -> dict[str, int]:
        """The id of each word; made once, as a batch of texts costs little more."""
        return {word: index for index, word in enumerate(self.words, start=FIRST_WORD)}

    @property
    def size(self) -> int:
        """How many ids there are, padding and the unknown word among them."""
        return FIRST_WORD + len(self.words)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the limits left out, in whole sentences."""
        notes = []
        if self.rare:
            notes.append(
                f"{self.rare:,} rare words of the training texts have no id of their own: "
                f"the vocabulary ends at {len(self.words):,}."
            )
        if self.cut:
            notes.append(f"{self.cut:,} training texts are cut after {self.length:,} tokens.")
        return tuple(notes)

    def transform(self, texts: Texts) -> NDArray[np.int32]:
        """(n, length) int32 ids, ``PADDING`` behind the end of each text."""
        tokens = tokenizer()
        ids = self.ids
        out = np.full((len(texts), self.length), PADDING, dtype=np.int32)
        for row, text in enumerate(texts):
            found = [ids.get(word, UNKNOWN) for word in tokens(text)[: self.length]]
            out[row, : len(found)] = found
        return out


def usual_length(texts: Texts) -> int:
    """Tokens that nine texts in ten don't exceed, counted in at most ``SAMPLE`` of them."""
    rows = np.linspace(0, len(texts) - 1, min(SAMPLE, len(texts))).astype(np.int64)
    token = re.compile(TOKEN)
    lengths = [len(token.findall(text)) for text in texts.take(rows)]
    return int(np.quantile(lengths, 0.9)) if lengths else 0


def tokenizer() -> Callable[[str], list[str]]:
    """scikit-learn's analyser of texts, with our pattern of a token."""
    from sklearn.feature_extraction.text import CountVectorizer  # a second, for texts only

    analyse: Callable[[str], list[str]] = CountVectorizer(token_pattern=TOKEN).build_analyzer()
    return analyse
