"""What a model family is: its name, what it can learn, its parameters and where to search them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Literal, get_args

from modelyard.contract import Scalar
from modelyard.data.card import Kind
from modelyard.errors import InputError
from modelyard.experiment.search import Parameter
from modelyard.plugins.groups import Group
from modelyard.plugins.installed import names

Task = Literal["classification", "regression"]
TASKS: tuple[Task, ...] = get_args(Task)


@dataclass(frozen=True, kw_only=True)
class FamilyParameter:
    """One parameter of a family.

    Args:
        default: its value where neither the file nor the sampler gives one.
        type: the type of its values; a whole number is also accepted as a float, and anything
            for ``object``.
        low, high: inclusive bounds of a number; None leaves that side open.
        choices: all values, where they are few.
        optional: None is a value too.
        required: there is no default; the file or the sampler has to give a value.
        opaque: the default is the code's own affair: it is built without the parameter.
        plugin: its values are the names of installed plugins of this group.
        description: one phrase, for lists and for the schema.
    """

    default: Scalar
    type: type
    low: float | None = None
    high: float | None = None
    choices: tuple[Scalar, ...] | None = None
    optional: bool = False
    required: bool = False
    opaque: bool = False
    plugin: Group | None = None
    description: str

    def problem(self, value: Scalar) -> str | None:
        """What is wrong with a value, as the end of a sentence; None when it is right."""
        if value is None and self.optional:
            return None
        kinds = (int, float) if self.type is float else (self.type,)
        if self.type is not object and type(value) not in kinds:
            return f"{value!r} is no {self.type.__name__}"
        if self.plugin is not None and value not in names(self.plugin):
            there = ", ".join(names(self.plugin)) or "none"
            return f"{value!r} is no installed {self.plugin.one}; there are {there}"
        if self.choices is not None and value not in self.choices:
            return f"{value!r} is none of {', '.join(map(str, self.choices))}"
        if isinstance(value, int | float) and not isinstance(value, bool):
            if self.low is not None and value < self.low:
                return f"{value} is below {self.low:g}"
            if self.high is not None and value > self.high:
                return f"{value} is above {self.high:g}"
        return None


@dataclass(frozen=True, kw_only=True)
class Family:
    """One model family.

    Args:
        name: as it stands in the experiment file.
        kinds: of data that it takes.
        tasks: that it can learn.
        network: fitted by gradient steps over epochs, so that keys of ``train`` count for it;
            else it is fitted in one go.
        parameters: its own, by name.
        space: searched when the file has no ``search.space``; names are its parameters and,
            for a network, keys of ``train``.
        unread: keys of ``train`` that it takes no notice of, though it is a network.
        encoding: those of its parameters that say how examples are encoded: ``Preprocessor.fit``
            takes them, and the model itself doesn't.
        description: one phrase for lists.
        library: a module that it needs and that a plain install doesn't bring.
        build: of a plugin, how a model of it is made, see ``models/plugged.py``; None of a
            family of Modelyard's own.
        trusted: of a plugin, the types of its own that a classical model consists of, as skops
            names them: ``package.module.Class``.
    """

    name: str
    kinds: tuple[Kind, ...]
    tasks: tuple[Task, ...] = TASKS
    network: bool
    parameters: Mapping[str, FamilyParameter]
    space: dict[str, Parameter]
    unread: tuple[str, ...] = ()
    encoding: tuple[str, ...] = ()
    description: str
    library: str | None = None
    build: Callable[..., Any] | None = None
    trusted: tuple[str, ...] = ()

    @property
    def absent(self) -> str | None:
        """Why it can't be used here, with the remedy; None where its library is installed."""
        if self.library is None or find_spec(self.library) is not None:
            return None
        return f"{self.library} isn't installed: pip install 'modelyard[boosters]'"

    def complete(self, given: Mapping[str, Scalar]) -> dict[str, Scalar]:
        """Every parameter's value: the given ones, defaults for the others where they are known.

        Raises:
            InputError: a name that the family lacks, or a value that doesn't fit; all of them.
        """
        problems = [
            f"{name}: {self.name} has no such parameter; it has {', '.join(self.parameters)}"
            for name in given
            if name not in self.parameters
        ]
        for name, parameter in self.parameters.items():
            if name in given and (problem := parameter.problem(given[name])):
                problems.append(f"{name}: {problem}")
            if parameter.required and name not in given:
                problems.append(f"{name}: {self.name} has no default for it, so give a value")
        if problems:
            raise InputError("\n".join(problems))
        return {
            name: given.get(name, p.default)
            for name, p in self.parameters.items()
            if name in given or not p.opaque
        }
