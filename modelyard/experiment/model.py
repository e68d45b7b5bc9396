"""The experiment: the one document that a run is made from, as YAML or as typed Python.

``Experiment(name="churn", data={"source": "churn.csv", "target": "churned"})`` and the file
with the same keys are the same object. What stands here is shape and bounds; what only a look
at data and model families can tell is in ``check.py``.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from modelyard.contract import Scalar
from modelyard.experiment.explain import Explain
from modelyard.experiment.resources import Resources
from modelyard.experiment.search import Pruner, Search
from modelyard.experiment.section import Section
from modelyard.experiment.training import Train
from modelyard.experiment.weights import Weights

NAME_PATTERN = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
"""A DNS label, as Kubernetes and URLs want it."""


TAKEN_ALIASES = ("challenger", "rejected", "previous", "latest")
"""Given by Modelyard to other versions than the one that serves; ``latest`` is MLflow's."""


class By(Section):
    """What must not be torn apart by the split: the rows of a group, or past from future."""

    group: str | None = Field(None, description="Column whose equal values stay together.")
    time: str | None = Field(None, description="Column to order by: test is the latest part.")

    @model_validator(mode="after")
    def _one(self) -> By:
        if (self.group is None) == (self.time is None):
            raise ValueError("give exactly one of group and time")
        return self


class Split(Section):
    """Shares of the rows; they add up to 1."""

    train: float = Field(0.7, gt=0, lt=1, description="Share that models are fitted on.")
    validation: float = Field(0.15, gt=0, lt=1, description="Share that trials are compared on.")
    test: float = Field(
        0.15, gt=0, lt=1, description="Share that gates and champion are judged on."
    )
    stratify: bool = Field(
        True, description="Keep the classes' shares in each part, unless split by time."
    )
    by: By | None = Field(None, description="Split by group or by time instead of by row.")

    @model_validator(mode="after")
    def _sum(self) -> Split:
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"train, validation and test add up to {total:g}, not to 1")
        return self


class Data(Section):
    """What is learnt from."""

    source: str = Field(
        min_length=1,
        description="sklearn:digits and its like, a published set (mnist, kepler …), a CSV, "
        "Parquet or NPZ file or a folder of pictures or texts, relative to the experiment "
        "file; s3://bucket/key of such a file; or an installed plugin's, plugin:NAME.",
    )
    kind: Literal["table", "image", "text"] | None = Field(
        None, description="table, image or text; found when left out."
    )
    target: str | None = Field(None, description="Column to predict; required for tables.")
    drop: tuple[str, ...] = Field((), strict=False, description="Columns not to learn from.")
    split: Split = Field(Split(), description="Training, validation and test parts.")
    sample: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Share of the training part that trials learn from; the winner is fitted on "
        "all of it.",
    )
    folds: int = Field(
        1,
        ge=1,
        description="Folds of cross-validation inside each trial, cut from training and "
        "validation part.",
    )
    repeats: int = Field(
        1, ge=1, description="Repeats of the folds (of the fit, without folds) with other seeds."
    )

    @property
    def fits(self) -> int:
        """Fits of one trial: each fold of each repeat."""
        return self.folds * self.repeats


class Model(Section):
    """The model's family and its fixed parameters. A bare name stands for the family."""

    short: ClassVar[str | None] = "family"

    family: str = Field("auto", description="auto, a family's name, or your own as file.py:Class.")
    parameters: dict[str, Scalar] = Field(
        {}, description="The family's parameters that stay fixed."
    )
    weights: Weights | None = Field(
        None, description="What a network starts from; null: from random numbers."
    )


class Objective(Section):
    """One metric of the validation split and its direction."""

    metric: str = Field("accuracy", description="Name of the metric.")
    goal: Literal["maximize", "minimize"] = Field("maximize", description="maximize or minimize.")


class Budget(Section):
    """How much the sweep may use."""

    trials: int = Field(20, ge=1, description="Trials that reach an end.")
    parallel: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        "auto", description="Trials at once; auto: as fits."
    )
    hours: float | None = Field(None, gt=0, description="Wall time of the sweep in hours.")
    trial_hours: float | None = Field(None, gt=0, description="Wall time of one trial in hours.")
    waiting_hours: float = Field(
        24, gt=0, description="Longest wait of a trial for a place in the cluster, in hours."
    )


class Gate(Section):
    """A condition on the test split that the model must meet before it may serve: a bound of a
    metric, or a plugin's own judgement.
    """

    metric: str | None = Field(None, description="Name of the metric.")
    at_least: float | None = Field(None, description="Lowest value that passes.")
    at_most: float | None = Field(None, description="Highest value that passes, for errors.")
    confidence: float | None = Field(
        None,
        gt=0.5,
        lt=1,
        description="The one-sided bootstrap bound at this confidence must pass, "
        "not just the value.",
    )
    slice: str | None = Field(None, description="Rows to judge by, as a condition.")
    plugin: str | None = Field(
        None, description="Name of an installed plugin that judges, instead of a metric."
    )
    options: dict[str, Scalar] = Field({}, description="The plugin's own options.")
    advisory: bool = Field(False, description="Said, but refuses nothing.")

    @model_validator(mode="after")
    def _one_bound(self) -> Gate:
        if (self.metric is None) == (self.plugin is None):
            raise ValueError("give exactly one of metric and plugin")
        if self.plugin is not None:
            of_metrics = {"at_least", "at_most", "confidence", "slice"}
            if given := sorted(of_metrics & self.model_fields_set - self._left_empty()):
                raise ValueError(f"{given[0]} belongs to a metric; a plugin takes options")
            return self
        if self.options:
            raise ValueError("options belong to a plugin, not to a metric")
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("give exactly one of at_least and at_most")
        return self

    def _left_empty(self) -> set[str]:
        return {name for name in type(self).model_fields if getattr(self, name) is None}


class Register(Section):
    """How the model enters the registry."""

    alias: str = Field(
        "champion",
        pattern=r"^[a-z0-9_-]{1,63}$",
        description="Alias of the version that serves: a-z, 0-9, _ and -.",
    )
    margin: float = Field(
        0.0, ge=0, description="How much worse than the champion still counts as equal."
    )

    @field_validator("alias")
    @classmethod
    def _not_taken(cls, alias: str) -> str:
        if alias in TAKEN_ALIASES or (alias[:1] == "v" and alias[1:].isdecimal()):
            raise ValueError(
                f"{alias!r} can't be the alias of the version that serves: "
                f"{', '.join(TAKEN_ALIASES)}, v1, v2 … have a meaning of their own; "
                "champion is usual"
            )
        return alias


class Deploy(Section):
    """Where the champion serves."""

    target: Literal["local", "kubernetes"] = Field("local", description="local or kubernetes.")
    port: Annotated[int, Field(ge=1, le=65535)] | Literal["auto"] = Field(
        "auto", description="Port; auto: next free from 8080."
    )


class Experiment(Section):
    """One experiment: data, model, search, gates, registry and deployment."""

    name: str = Field(
        pattern=NAME_PATTERN,
        description="Name of the sweep and of the registered model: a-z, 0-9 and -.",
    )
    project: str = Field("default", pattern=NAME_PATTERN, description="Project it belongs to.")
    seed: int = Field(7, ge=0, lt=2**32, description="Seed of split, sampler and training.")
    data: Data = Field(description="What is learnt from.")
    model: Model = Field(Model(), description="The model's family and fixed parameters.")
    objective: tuple[Objective, ...] = Field(
        (Objective(),),
        strict=False,
        min_length=1,
        description="The metric to improve, or a list of several.",
    )
    search: Search = Field(Search(), description="How configurations are searched.")
    budget: Budget = Field(Budget(), description="How much the sweep may use.")
    train: Train = Field(Train(), description="How a network is fitted.")
    resources: Resources = Field(Resources(), description="What one trial needs.")
    gates: tuple[Gate, ...] = Field((), strict=False, description="Conditions on the test split.")
    explain: Explain | None = Field(
        Explain(), description="Why the model predicts as it does; null: not looked for."
    )
    register_: Register = Field(
        Register(), alias="register", description="How the model enters the registry."
    )
    deploy: Deploy | None = Field(
        Deploy(), description="Where the champion serves; null registers only."
    )
    fallback: Literal["local"] | None = Field(
        None, description="local: go on here when the cluster can't be reached."
    )

    @model_validator(mode="before")
    @classmethod
    def _pruner_left_out(cls, value: Any) -> Any:
        """With several objectives no pruner knows which one lags, so none is the default."""
        if not isinstance(value, dict) or not _several(value.get("objective")):
            return value
        search = value.get("search", {})
        if isinstance(search, Search) and "pruner" not in search.model_fields_set:
            return {**value, "search": search.model_copy(update={"pruner": Pruner(name="none")})}
        if isinstance(search, dict) and "pruner" not in search:
            return {**value, "search": {**search, "pruner": "none"}}
        return value

    @field_validator("objective", mode="before")
    @classmethod
    def _single(cls, value: Any) -> Any:
        return (value,) if isinstance(value, dict | Objective) else value

    @property
    def trial_epochs(self) -> int:
        """Length of a trial in epochs."""
        return self.search.epochs or self.train.epochs

    @property
    def trial_steps(self) -> int:
        """Steps that a trial reports: its folds and repeats where it has such, else its epochs."""
        return self.data.fits if self.data.fits > 1 else self.trial_epochs

    @property
    def measured(self) -> tuple[str, ...]:
        """Every metric that the file names, of objectives and gates, once."""
        of_gates = (gate.metric for gate in self.gates if gate.metric is not None)
        return tuple(dict.fromkeys((*(o.metric for o in self.objective), *of_gates)))

    def to_document(self) -> dict[str, Any]:
        """The experiment as JSON with every default filled in, by the file's own keys."""
        return self.model_dump(mode="json", by_alias=True)

    def to_request(self) -> dict[str, Any]:
        """The keys that were written, as JSON: what a server of another version may not know
        is refused where it is used, and nowhere else."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


def _several(objective: object) -> bool:
    return isinstance(objective, list | tuple) and len(objective) > 1


def is_own_code(family: str) -> bool:
    """Whether a family is written as ``file.py:Class``."""
    file, separator, name = family.partition(":")
    return bool(separator and name) and PurePath(file).suffix == ".py"
