"""The plugins that a packed model can't be loaded without, and whether they are installed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pydantic import BaseModel, ConfigDict

from modelyard.contract import Scalar
from modelyard.models.family import Family
from modelyard.plugins.groups import Group
from modelyard.plugins.installed import named


class Needed(BaseModel):
    """One plugin, as ``model.json`` names it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    group: Group
    name: str
    distribution: str
    version: str


def needed_by(family: Family, parameters: Mapping[str, Scalar]) -> tuple[Needed, ...]:
    """The family's own plugin, and those that its parameters name.

    Args:
        family: of the model.
        parameters: all of its values.
    """
    wanted = [(Group.MODELS, family.name)] if family.build is not None else []
    wanted += [
        (parameter.plugin, str(parameters[name]))
        for name, parameter in family.parameters.items()
        if parameter.plugin is not None and parameters.get(name) is not None
    ]
    return tuple(
        Needed(group=group, name=name, distribution=plugin.distribution, version=plugin.version)
        for group, name in wanted
        for plugin in named(group, name)[:1]
    )


def check_needed(plugins: Iterable[Needed]) -> str | None:
    """What has to be installed, as a sentence without its end; None where all is there.

    Another version may build another model from the same parameters, so it isn't taken.
    """
    lacking = [
        f"its {plugin.group.one} {plugin.name} is of {plugin.distribution} {plugin.version}, "
        f"{_instead(plugin)}; pip install {plugin.distribution}=={plugin.version}"
        for plugin in plugins
        if not any(_same(plugin, there) for there in _versions(plugin))
    ]
    return "; ".join(lacking) or None


def _versions(plugin: Needed) -> tuple[tuple[str, str], ...]:
    return tuple((p.distribution, p.version) for p in named(plugin.group, plugin.name))


def _same(plugin: Needed, there: tuple[str, str]) -> bool:
    return there == (plugin.distribution, plugin.version)


def _instead(plugin: Needed) -> str:
    there = [f"{distribution} {version}" for distribution, version in _versions(plugin)]
    return f"here is {' and '.join(there)}" if there else "which is not installed here"
