"""The family that the user's own code is: its parameters are its signature's. Loads no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType

from modelyard.code.reference import Reference
from modelyard.code.signature import Argument, read_signature
from modelyard.experiment.search import Parameter
from modelyard.models.family import Family, FamilyParameter
from modelyard.models.text_families import READING

VOCABULARY = "vocabulary"
"""Argument of a class that learns from texts: how many ids there are."""

SPACE = {
    "learning_rate": Parameter(float_=(3e-4, 2e-2), log=True),
    "weight_decay": Parameter(float_=(1e-4, 1e-1), log=True),
}
"""Searched where the file names no space: how it is trained. Where a parameter of one's own may
lie, no signature tells."""


def own_family(name: str, arguments: Sequence[Argument] = ()) -> Family:
    """The family of own code.

    Args:
        name: ``file.py:Class``, as the experiment names it.
        arguments: of the class; without them only what all own models share can be told. One that
            is called ``vocabulary`` says that it learns from texts.
    """
    own = {a.name: _parameter(a) for a in arguments if a.name != VOCABULARY}
    of_texts = len(own) < len(arguments)
    reading = {name: p for name, p in READING.items() if of_texts and name not in own}
    return Family(
        name=name,
        kinds=("text",) if of_texts else ("table", "image"),
        encoding=tuple(reading),
        network=True,
        description="your own code",
        parameters=MappingProxyType({**own, **reading}),
        space=dict(SPACE),
        unread=("dropout",),
    )


def read_family(name: str, folder: Path) -> Family:
    """The family of own code that lies in a folder, without running it.

    Args:
        name: ``file.py:Class``; of its path only the file's name counts.
        folder: that holds the file.

    Raises:
        OwnCodeError: no such file or class, or it can't be built as every model is.
    """
    reference = Reference.of(name)
    assert reference is not None, name
    return own_family(name, read_signature(folder / reference.file, reference.name))


def _parameter(argument: Argument) -> FamilyParameter:
    return FamilyParameter(
        default=argument.default,
        type=argument.kind.type,
        choices=argument.kind.choices,
        optional=argument.kind.optional,
        required=argument.required,
        opaque=argument.opaque,
        description="of your own code",
    )
