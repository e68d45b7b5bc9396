"""The section ``model.weights``: what a network starts from, and how fast that is changed."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, model_validator

from modelyard.experiment.section import Section

REGISTRY = "models:/"
"""How MLflow writes a version of its registry."""


class Weights(Section):
    """Weights that a network starts from, instead of random ones. A bare text is the source.

    They must fit the model; a head for another number of classes is made anew, and that is said.
    """

    short: ClassVar[str | None] = "source"

    source: str = Field(
        min_length=1,
        description="A .safetensors file, or the folder of a packed model, relative to the "
        "experiment file.",
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

    @model_validator(mode="after")
    def _nothing_frozen(self) -> Weights:
        if self.unfreeze_after is not None and not self.freeze:
            raise ValueError("unfreeze_after needs freeze: true")
        return self


def is_version(source: str) -> bool:
    """Whether weights are a version of MLflow's registry."""
    return source.startswith(REGISTRY)
