"""The families there are, and which one suits given data.

Importing this loads no torch and no scikit-learn: the command line checks files with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from modelyard.code.reference import Reference
from modelyard.data.card import DataCard
from modelyard.errors import InputError
from modelyard.experiment.model import Experiment
from modelyard.models.boosters import LIGHTGBM, XGBOOST
from modelyard.models.family import Family
from modelyard.models.networks import CNN, MLP, RESNET, SMALLEST_IMAGE
from modelyard.models.own import own_family
from modelyard.models.plugged import plugged_family
from modelyard.models.text_families import GRU, LSTM, TRANSFORMER
from modelyard.models.trees import GRADIENT_BOOSTING, RANDOM_FOREST
from modelyard.plugins.groups import Group
from modelyard.plugins.installed import names
from modelyard.plugins.loading import PluginError

FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        family.name: family
        for family in (
            MLP,
            CNN,
            RESNET,
            LSTM,
            GRU,
            TRANSFORMER,
            RANDOM_FOREST,
            GRADIENT_BOOSTING,
            XGBOOST,
            LIGHTGBM,
        )
    }
)
"""Every family of Modelyard's own by name; ``family_named`` knows those of plugins too."""

FEW_ROWS = 500
"""Below this many rows averaged trees (bagging) are preferred to boosted ones, which overfit."""

MANY_TEXTS = 10_000
"""From this many texts on attention is worth its freedom; on 1,320 docstrings the GRU was ahead,
by five points of accuracy."""

LARGE_COLOUR, LARGE_GREY = 24, 48
"""Pixels of an image's shorter side from which residual depth pays. Two or three convolutions read
digits and clothing (28 × 28, grey) nearly as well as any network; for objects in colour (CIFAR,
32 × 32) He et al. 2015 gain from each further block."""


def choose(card: DataCard) -> tuple[str, str]:
    """The family that suits the data, and why in one sentence.

    Images go to the CNN, larger ones to the ResNet; texts to a network that reads them word by
    word or, where there are many, to attention. On tables, trees are ahead of networks at the sizes
    met here (Grinsztajn, Oyallon, Varoquaux 2022, "Why do tree-based models still outperform deep
    learning on typical tabular data?").

    Args:
        card: what prepare found out about the data.

    Returns:
        Family name and reason.
    """
    if card.kind == "text":
        return _for_texts(card)
    if card.kind == "image":
        return _for_images(card)
    rows = f"a table of {card.rows:,} rows"
    if card.rows < FEW_ROWS:
        return (
            RANDOM_FOREST.name,
            f"random-forest, because {rows} is small: averaged trees overfit least",
        )
    return (
        GRADIENT_BOOSTING.name,
        f"gradient-boosting, because on {rows} boosted trees are the strongest start",
    )


def _for_images(card: DataCard) -> tuple[str, str]:
    height, width, channels = card.shape
    colour = "colour " if channels > 1 else ""
    images = f"{colour}images of {height} × {width} pixels"
    if min(height, width) < SMALLEST_IMAGE:
        return MLP.name, f"mlp, because {images} are too small for convolutions"
    if min(height, width) >= (LARGE_COLOUR if colour else LARGE_GREY):
        return (
            RESNET.name,
            f"resnet, because these are {images}: what they show takes depth to tell",
        )
    return CNN.name, f"cnn, because these are {images}: convolutions use which are neighbours"


def _for_texts(card: DataCard) -> tuple[str, str]:
    texts = f"{card.rows:,} texts"
    if card.rows < MANY_TEXTS:
        return (
            GRU.name,
            f"gru, because of {texts} little can be learnt about order, which it has built in",
        )
    return (
        TRANSFORMER.name,
        f"transformer, because {texts} are enough to learn which words belong together",
    )


def resolve(experiment: Experiment, card: DataCard) -> str:
    """Name of the family that the experiment means on this data; own code is its own name.

    Raises:
        InputError: no such family, or one that can't learn from this kind of data.
    """
    name = experiment.model.family
    if name == "auto":
        return choose(card)[0]
    if Reference.of(name) is not None:
        return name
    try:
        family = family_named(name)
    except PluginError as error:
        raise InputError(f"model.family: {error}") from error
    if not _takes(family, card):
        fitting = [f.name for f in FAMILIES.values() if _takes(f, card) and f.absent is None]
        raise InputError(
            f"model.family: {name} can't learn {card.task} from {card.kind} data; "
            f"valid are auto, {', '.join(fitting)}"
        )
    if family.absent is not None:
        raise InputError(
            f"model.family: {name} can't be used: {family.absent}; on a cluster, in the image of "
            "its trials (resources.image)"
        )
    return name


def _takes(family: Family, card: DataCard) -> bool:
    return card.kind in family.kinds and card.task in family.tasks


def family_named(name: str) -> Family:
    """A family by its name; of own code, whose class isn't looked at, without its parameters.

    Raises:
        PluginError: no such family, or one of a plugin that can't be used.
    """
    if Reference.of(name) is not None:
        return own_family(name)
    if name in FAMILIES:
        return FAMILIES[name]
    if name not in (plugins := names(Group.MODELS)):
        there = ("auto", *(f.name for f in FAMILIES.values() if f.absent is None), *plugins)
        raise PluginError(
            f"there is no family {name!r} here; there are {', '.join(there)}. "
            "One of a plugin has to be installed wherever trials run: on a cluster, in their image"
        )
    return plugged_family(name)
