"""The search section: sampler, pruner, mode and space."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from modelyard.contract import Scalar
from modelyard.experiment.places import PLUGIN, plugin_name
from modelyard.experiment.section import Section

SAMPLER_OPTIONS: dict[str, dict[str, type]] = {
    "tpe": {"startup_trials": int, "candidates": int, "multivariate": bool},
    "random": {},
    "grid": {"steps": int},
    "cmaes": {"startup_trials": int, "sigma": float},
    "gp": {"startup_trials": int},
    "nsgaii": {"population": int, "crossover_probability": float},
    "qmc": {"sequence": str, "scramble": bool},
}
"""Each sampler's options. ``grid.steps`` is the number of cells of a continuous parameter."""

PRUNER_OPTIONS: dict[str, dict[str, type]] = {
    "median": {"startup_trials": int, "warmup_steps": int, "interval_steps": int},
    "percentile": {
        "percentile": float,
        "startup_trials": int,
        "warmup_steps": int,
        "interval_steps": int,
    },
    "hyperband": {"min_epochs": int, "reduction_factor": int},
    "successive-halving": {"min_epochs": int, "reduction_factor": int},
    "wilcoxon": {"p_threshold": float, "startup_steps": int},
    "none": {},
}
"""Each pruner's options; the steps that trials report are epochs, or folds
where ``data`` has folds or repeats."""


class Sampler(Section):
    """How the next trial's parameters are chosen. A bare name stands for its defaults."""

    short: ClassVar[str | None] = "name"
    rest: ClassVar[str | None] = "options"

    name: (
        Literal["tpe", "random", "grid", "cmaes", "gp", "nsgaii", "qmc"]
        | Annotated[str, Field(pattern=rf"^{PLUGIN}.+")]
    ) = Field(
        "tpe",
        description="tpe, random, grid, cmaes, gp, nsgaii or qmc; or an installed plugin's, "
        "plugin:NAME.",
    )
    options: dict[str, Scalar] = Field({}, description="The sampler's own options.")

    @property
    def plugin(self) -> str | None:
        """The plugin that is meant; None for one of Modelyard's own."""
        return plugin_name(self.name)


class Pruner(Section):
    """When a trial that lags behind is stopped early. A bare name stands for its defaults."""

    short: ClassVar[str | None] = "name"
    rest: ClassVar[str | None] = "options"

    name: Literal["median", "percentile", "hyperband", "successive-halving", "wilcoxon", "none"] = (
        Field("median", description="The rule that stops a lagging trial.")
    )
    options: dict[str, Scalar] = Field({}, description="The pruner's own options.")


class Mode(Section):
    """What a trial is judged by: the metric alone, or the metric balanced with health.

    A bare name stands for its defaults.
    """

    short: ClassVar[str | None] = "name"

    name: Literal["simple", "health-aware"] = Field(
        "simple",
        description="simple: the metric alone; health-aware: sampler and best trial look at "
        "metric_weight · metric + (1 − metric_weight) · health, pruners, gates and champion at "
        "the metric.",
    )
    metric_weight: float = Field(
        0.7, ge=0, le=1, description="Weight of the metric against the model's health."
    )


class Parameter(Section):
    """One dimension of the space: exactly one of ``float``, ``int`` and ``choice``.

    Bounds are inclusive. ``when`` makes it conditional: it exists only in trials whose other
    parameters have just these values.
    """

    float_: tuple[float, float] | None = Field(
        None,
        strict=False,
        alias="float",
        description="Lowest and highest value of a real parameter.",
    )
    int_: tuple[int, int] | None = Field(
        None,
        strict=False,
        alias="int",
        description="Lowest and highest value of a whole-number parameter.",
    )
    choice: tuple[Scalar, ...] | None = Field(
        None, strict=False, min_length=1, description="The values of a categorical parameter."
    )
    log: bool = Field(False, description="Sample the logarithm; bounds must be above zero.")
    step: float | None = Field(None, gt=0, description="Distance between two values.")
    when: dict[str, Scalar] = Field(
        {}, description="Other parameters and the values under which this one exists."
    )

    @model_validator(mode="after")
    def _one_kind(self) -> Parameter:
        kinds = [k for k in (self.float_, self.int_, self.choice) if k is not None]
        if len(kinds) != 1:
            raise ValueError("give exactly one of float, int and choice")
        bounds = self.float_ or self.int_
        if self.choice is not None and (self.log or self.step is not None):
            raise ValueError("log and step belong to float and int, not to choice")
        if bounds is not None and bounds[0] > bounds[1]:
            raise ValueError(f"the lower bound {bounds[0]} is above the upper bound {bounds[1]}")
        if bounds is not None and self.log and bounds[0] <= 0:
            raise ValueError(f"log needs a lower bound above zero, not {bounds[0]}")
        if self.log and self.step is not None:
            raise ValueError("log and step exclude each other")
        if self.int_ is not None and self.step is not None and self.step != int(self.step):
            raise ValueError(f"the step of an int parameter is a whole number, not {self.step}")
        return self


class Search(Section):
    """How configurations are searched."""

    sampler: Sampler = Field(Sampler(), description="How the next trial is chosen.")
    pruner: Pruner = Field(
        Pruner(), description="When a lagging trial is stopped; none with several objectives."
    )
    mode: Mode = Field(Mode(), description="What a trial is judged by.")
    epochs: int | None = Field(
        None, ge=1, description="Epochs of each trial; train.epochs when left out."
    )
    space: dict[str, Parameter] | None = Field(
        None,
        description="Parameters to search: keys of train or parameters of the model's family. "
        "The family's own space when left out.",
    )

    @field_validator("space", mode="before")
    @classmethod
    def _list_is_choice(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return {k: {"choice": v} if isinstance(v, list) else v for k, v in value.items()}
        return value
