"""The section ``model.weights``: what a network starts from, and how fast that is changed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from pydantic import Field, field_validator, model_validator

from modelyard.experiment.section import Section

REGISTRY = "models:/"
"""How MLflow writes a version of its registry."""

FORMS = f"{REGISTRY}NAME/VERSION or {REGISTRY}NAME@ALIAS"

_VERSION = re.compile(
    REGISTRY + r"(?P<name>[\w.-]+)(?:/(?P<number>[1-9]\d{0,8})|@(?P<alias>[\w.-]+))"
)


@dataclass(frozen=True, kw_only=True)
class Version:
    """A version of MLflow's registry as a file names it: by its number, or by an alias.

    Args:
        name: of the model.
        number: None where the alias says which.
        alias: None where the number says which.
    """

    name: str
    number: int | None = None
    alias: str | None = None

    @classmethod
    def parse(cls, source: str) -> Version:
        """From ``models:/NAME/VERSION`` or ``models:/NAME@ALIAS``.

        Raises:
            ValueError: it is neither.
        """
        found = _VERSION.fullmatch(source)
        if found is None:
            raise ValueError(f"{source!r} names no version of a model: write {FORMS}")
        number = found["number"]
        return cls(
            name=found["name"], number=None if number is None else int(number), alias=found["alias"]
        )


class Weights(Section):
    """Weights that a network starts from, instead of random ones. A bare text is the source.

    They must fit the model; a head for another number of classes is made anew, and that is said.
    """

    short: ClassVar[str | None] = "source"

    source: str = Field(
        min_length=1,
        description="A .safetensors file or the folder of a packed model, relative to the "
        f"experiment file; or a registered version, {FORMS}.",
    )
    freeze: bool = Field(False, description="Learn the head alone, and leave all else as it is.")
    unfreeze_after: int | None = Field(
        None, ge=1, description="Epochs after which what is frozen learns too; null: never."
    )
    rate_factor: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Learning rate of a layer over that of the layer behind it; the head has the "
        "full rate.",
    )

    @field_validator("source")
    @classmethod
    def _is_whole(cls, source: str) -> str:
        if is_version(source):
            Version.parse(source)
        return source

    @model_validator(mode="after")
    def _nothing_frozen(self) -> Weights:
        if self.unfreeze_after is not None and not self.freeze:
            raise ValueError("unfreeze_after needs freeze: true")
        return self


def is_version(source: str) -> bool:
    """Whether weights are a version of MLflow's registry."""
    return source.startswith(REGISTRY)
