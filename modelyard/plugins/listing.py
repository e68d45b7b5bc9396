"""Every plugin with its state: each is imported once, and none can end the program."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from modelyard.plugins.groups import Group
from modelyard.plugins.installed import Installed, installed, named
from modelyard.plugins.loading import Check, PluginError, State, load


@dataclass(frozen=True, kw_only=True)
class Listed:
    """One plugin and whether it can be used.

    Args:
        plugin: what is installed.
        state: whether it can be used.
        reason: why not; empty for one that can.
    """

    plugin: Installed
    state: State
    reason: str


def listed(group: Group, check: Check, built_in: Collection[str]) -> tuple[Listed, ...]:
    """Every plugin of a group.

    Args:
        group: whose plugins.
        check: the group's contract.
        built_in: names that Modelyard has itself.
    """
    return tuple(_judged(plugin, check, built_in) for plugin in installed(group))


def clash(plugin: Installed, built_in: Collection[str]) -> str | None:
    """Why a plugin is refused for its name; None where it is its own."""
    if plugin.name in built_in:
        return f"{plugin.name} is a {plugin.group.one} of Modelyard's own, which is taken"
    others = [p.origin for p in named(plugin.group, plugin.name) if p != plugin]
    return f"{' and '.join(others)} brings the same name; uninstall all but one" if others else None


def _judged(plugin: Installed, check: Check, built_in: Collection[str]) -> Listed:
    if reason := clash(plugin, built_in):
        return Listed(plugin=plugin, state=State.CLASH, reason=reason)
    try:
        load(plugin.group, plugin.name, check)
    except PluginError as error:
        return Listed(plugin=plugin, state=error.state or State.BROKEN, reason=str(error))
    return Listed(plugin=plugin, state=State.READY, reason="")
