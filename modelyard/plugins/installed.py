"""Which plugins are installed, told by metadata alone: nothing of theirs is imported."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from modelyard.plugins.groups import Group


@dataclass(frozen=True, kw_only=True)
class Installed:
    """One plugin.

    Args:
        group: what it is.
        name: as an experiment names it.
        distribution: that brings it.
        version: of the distribution.
        entry_point: where its object is.
    """

    group: Group
    name: str
    distribution: str
    version: str
    entry_point: EntryPoint

    @property
    def origin(self) -> str:
        """Distribution and version, as messages and runs name them."""
        return f"{self.distribution} {self.version}"


def installed(group: Group) -> tuple[Installed, ...]:
    """Every plugin of a group, by name and distribution; two may have one name.

    What is installed while this process runs is not seen by it.
    """
    # Looking through all metadata takes 35 ms; the path decides what there is to find.
    return _installed(group, tuple(sys.path))


@cache
def _installed(group: Group, path: tuple[str, ...]) -> tuple[Installed, ...]:
    del path
    found = [
        Installed(
            group=group,
            name=point.name,
            distribution=point.dist.name if point.dist else "unknown",
            version=point.dist.version if point.dist else "unknown",
            entry_point=point,
        )
        for point in entry_points(group=group.entry_points)
    ]
    return tuple(sorted(found, key=lambda plugin: (plugin.name, plugin.distribution)))


def named(group: Group, name: str) -> tuple[Installed, ...]:
    """The plugins of a name: none, one, or several that clash."""
    return tuple(plugin for plugin in installed(group) if plugin.name == name)


def names(group: Group) -> tuple[str, ...]:
    """Names of a group's plugins."""
    return tuple(dict.fromkeys(plugin.name for plugin in installed(group)))
