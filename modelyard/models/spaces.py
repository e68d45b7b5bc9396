"""The default space that suits given data: the family's own, moved where size and count matter.

A space that is as wide for 150 rows as for a million spends trials on what can't be good. Which end
moves follows from what the parameter does; how far it moves is this project's convention.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from modelyard.data.card import DataCard
from modelyard.data.tokens import LENGTH
from modelyard.experiment.model import Experiment
from modelyard.experiment.search import Parameter
from modelyard.models.families import FAMILIES, choose
from modelyard.models.family import Family
from modelyard.models.networks import SMALLEST_IMAGE

BATCHES = ((500, 16), (1_000, 32), (20_000, None), (200_000, 256), (math.inf, 1_024))
"""Below so many rows the largest batch; None leaves the batch at what ``train`` says. At its usual
64 an epoch of 150 rows has two steps, and one of a million 15,000."""

MOST_BLOCKS = 4
"""Of a CNN: each has twice the filters of the one before, so a fifth would outweigh the rest."""

MANY_CLASSES = 32
"""Above this number the usual last layers are narrower than what they have to tell apart."""

LEAVES = 20
"""That a tree could have, were each as large as the upper end of a leaf's fewest rows."""

VERY_MANY_ROWS = 100_000
"""From here on a tree's leaves and a leaf's rows may be ``FINER`` times as many."""

FINER = 4
LEAF, TREE = "leaves of at least {} to {} rows", "trees of at most {} to {} leaves"


@dataclass(frozen=True, kw_only=True)
class Suited:
    """One parameter of a default space that follows the data.

    Args:
        dimension: what is searched.
        why: a phrase that ends a sentence.
    """

    dimension: Parameter
    why: str


Rule = Callable[[DataCard], Suited | None]


def suited(family: Family, card: DataCard) -> Family:
    """The family with the default space that suits the data; one that isn't ours keeps its own."""
    found = {name: one.dimension for name, one in _found(family.name, card).items()}
    return replace(family, space={**family.space, **found})


def why(experiment: Experiment, card: DataCard, space: Mapping[str, Parameter]) -> str:
    """Why it is this family, and what of its search follows the data.

    Args:
        experiment: whose family may be left to the data.
        card: of the data.
        space: that is searched.
    """
    family, said = experiment.model.family, f"{experiment.model.family}, as the experiment says"
    if family == "auto":
        family, said = choose(card)
    return said + reason(family, card, space)


def reason(family: str, card: DataCard, space: Mapping[str, Parameter]) -> str:
    """What of a search follows the data, as the end of a sentence; empty where nothing does.

    Args:
        family: name of the one that is searched.
        card: of the data.
        space: that is searched; what the file itself says of a parameter follows nothing.
    """
    found = _found(family, card).items()
    return "".join(f"; {one.why}" for name, one in found if space.get(name) == one.dimension)


def _found(family: str, card: DataCard) -> dict[str, Suited]:
    if family not in _RULES or card.kind not in FAMILIES[family].kinds:
        return {}
    found = {name: rule(card) for name, rule in _RULES[family].items()}
    return {name: one for name, one in found.items() if one is not None}


def _batch(card: DataCard) -> Suited | None:
    most = next(size for rows, size in BATCHES if card.rows < rows)
    if most is None:
        return None
    # Steps rather than a logarithmic scale: multiples of a power of two suit the hardware.
    least = most // 4
    return Suited(
        dimension=Parameter(int_=(least, most), step=least),
        why=f"batches of {least} to {most}, as there are {card.rows:,} examples",
    )


def _blocks(card: DataCard) -> Suited | None:
    side = min(card.shape[:2])
    halvings, left = 0, side
    while left >= SMALLEST_IMAGE:
        halvings, left = halvings + 1, left // 2
    most = max(1, min(halvings, MOST_BLOCKS))
    if (least := max(1, most - 2), most) == _ends("cnn", "depth"):
        return None
    blocks = f"{least} to {most} blocks" if least < most else "1 block"
    return Suited(
        dimension=Parameter(int_=(least, most)),
        why=f"{blocks}, as each halves a side of {side} pixels",
    )


def _filters(card: DataCard) -> Suited | None:
    if card.shape[2] == 1:
        return None
    return Suited(dimension=Parameter(int_=(16, 48), step=16), why="16 to 48 filters, for colour")


def _stages(card: DataCard) -> Suited | None:
    """Filters of the first stage: the output looks at four times as many."""
    classes = len(card.classes)
    if classes <= MANY_CLASSES:
        return None
    least = min(64, -(-classes // 32) * 8)
    return Suited(
        dimension=Parameter(int_=(least, least + 32), step=8),
        why=f"{least} to {least + 32} filters, for {classes} classes",
    )


def _units(family: str) -> Rule:
    least, most = _ends(family, "hidden")

    def rule(card: DataCard) -> Suited | None:
        classes = len(card.classes)
        if classes <= MANY_CLASSES:
            return None
        low = max(least, min(classes, 1_024))
        high = max(most, 4 * low)
        return Suited(
            dimension=Parameter(int_=(low, high), log=True),
            why=f"{low} to {high} units, for {classes} classes",
        )

    return rule


def _length(card: DataCard) -> Suited | None:
    if card.length <= LENGTH:
        return None
    return Suited(
        dimension=Parameter(choice=(LENGTH, 2 * LENGTH)),
        why=f"{LENGTH} or {2 * LENGTH} tokens, as one text in ten has more than {card.length}",
    )


def _by_rows(family: str, name: str, said: str) -> Rule:
    """How fine trees are: a leaf needs rows to learn from.

    Args:
        said: the phrase, with places for both ends.
    """
    least, most = _ends(family, name)

    def rule(card: DataCard) -> Suited | None:
        many = card.rows >= VERY_MANY_ROWS
        high = FINER * most if many else max(8, min(most, card.rows // LEAVES))
        if high == most:
            return None
        low = min(least, high // 4)
        return Suited(
            dimension=Parameter(int_=(low, high), log=True),
            why=f"{said.format(low, high)}, for {card.rows:,} rows",
        )

    return rule


def _ends(family: str, name: str) -> tuple[int, int]:
    ends = FAMILIES[family].space[name].int_
    assert ends is not None, name
    return ends


_NETWORK: Mapping[str, Rule] = {"batch_size": _batch}
_TEXT: Mapping[str, Rule] = {"length": _length, **_NETWORK}
_RULES: Mapping[str, Mapping[str, Rule]] = {
    "mlp": {"hidden": _units("mlp"), **_NETWORK},
    "cnn": {"depth": _blocks, "channels": _filters, "hidden": _units("cnn"), **_NETWORK},
    "resnet": {"width": _stages, **_NETWORK},
    "gru": _TEXT,
    "lstm": _TEXT,
    "transformer": _TEXT,
    "random-forest": {"min_samples_leaf": _by_rows("random-forest", "min_samples_leaf", LEAF)},
    "gradient-boosting": {
        "min_samples_leaf": _by_rows("gradient-boosting", "min_samples_leaf", LEAF),
        "max_leaf_nodes": _by_rows("gradient-boosting", "max_leaf_nodes", TREE),
    },
    "lightgbm": {
        "min_child_samples": _by_rows("lightgbm", "min_child_samples", LEAF),
        "num_leaves": _by_rows("lightgbm", "num_leaves", TREE),
    },
}
"""Of each family the parameters that follow the data."""
