"""What the model loses without a part of its input, over many rows.

Tables: permutation importance, a column's cells in the order of other rows (Breiman 2001, "Random
Forests", section 10; for any model Fisher, Rudin and Dominici 2019, "All Models are Wrong, but
Many are Useful"). Images: occlusion, a patch of the mean image in each patch's place (Zeiler and
Fergus 2014, "Visualizing and Understanding Convolutional Networks", section 4.2). Texts: a word
taken out of all texts (erasure; Li, Monroe and Jurafsky 2016, "Understanding Neural Networks
through Representation Erasure").

Columns that say the same share their importance, so each of them seems small.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np

from modelyard.data.rows import Rows
from modelyard.evaluate import inputs
from modelyard.evaluate.deadline import Deadline
from modelyard.evaluate.explanation import MOST, Importance
from modelyard.models.estimator import Array

REPEATS = 5
"""Permutations of a column: their spread shows how sure its importance is."""

Loss = Callable[[Rows], float]
"""How much worse the metric is on rows that were changed than on those that were not."""


def of_columns(rows: Rows, drop: Loss, deadline: Deadline, seed: int) -> list[Importance]:
    """Each column's importance, the largest first; those that time ran out for are missing.

    Args:
        rows: of the test split.
        drop: how much worse the metric is on rows that were changed.
        deadline: when to stop; takes the notes.
        seed: of the orders that a column's values are shuffled into.
    """
    generator = np.random.default_rng(seed)
    orders = [generator.permutation(len(rows)) for _ in range(REPEATS)]
    found = []
    for name in rows.columns:
        if deadline.over(f"the importance of {name} and the columns after it"):
            break
        drops = [drop(inputs.with_column_of(rows, name, order)) for order in orders]
        found.append(Importance(name=name, drop=float(np.mean(drops)), spread=float(np.std(drops))))
    return sorted(found, key=lambda one: -one.drop)[:MOST]


def of_patches(rows: Rows, drop: Loss, deadline: Deadline) -> Array | None:
    """(h, w) each patch's importance, NaN where time ran out before; None where it did at once."""
    assert rows.images is not None
    height, width = rows.images.shape[1:3]
    filling = inputs.mean_image(rows)
    found = np.full(inputs.grid(height, width), np.nan)
    for number, (i, j, box) in enumerate(inputs.patches(height, width)):
        if deadline.over(f"the importance of {found.size - number} of {found.size} patches"):
            return found if number else None
        found[i, j] = drop(inputs.without_patch(rows, box, filling))
    return found


def of_words(rows: Rows, predicted: Array, drop: Loss, deadline: Deadline) -> list[Importance]:
    """The importance of words, the largest first.

    Looked at are the words that go with predictions the most, by ``_candidates``.

    Args:
        rows: of texts.
        predicted: (n,) class or value of each.
    """
    assert rows.texts is not None
    texts = list(rows.texts)
    found = []
    for word in _candidates(texts, predicted):
        if deadline.over(f"the importance of the word {word} and those after it"):
            break
        changed = inputs.of_texts(rows, [inputs.without_word(text, word) for text in texts])
        found.append(Importance(name=word, drop=drop(changed)))
    return sorted(found, key=lambda one: -one.drop)


def _candidates(texts: list[str], predicted: Array) -> list[str]:
    """The words whose presence says most about the prediction.

    Measured by how far the mean prediction of the texts that have the word lies from that of
    all, weighted by how many have it: for classes the largest over the classes. That is the
    numerator of a chi-squared statistic's root, so neither rare nor common words win by that.
    """
    shares = predicted if predicted.ndim == 2 else predicted[:, None]
    centred = shares - shares.mean(axis=0)
    holders: dict[str, list[int]] = {}
    for number, text in enumerate(texts):
        for word in Counter(inputs.words_of(text)):
            holders.setdefault(word, []).append(number)
    weights = {
        word: float(np.abs(centred[rows].sum(axis=0)).max()) / len(rows) ** 0.5
        for word, rows in holders.items()
        if any(letter.isalnum() for letter in word) and len(rows) > 1
    }
    return sorted(weights, key=lambda word: (-weights[word], word))[:MOST]
