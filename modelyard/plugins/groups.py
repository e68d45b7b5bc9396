"""The groups of plugins, each an entry point group of its own."""

from __future__ import annotations

from enum import StrEnum


class Group(StrEnum):
    """What a plugin can be; ``docs/plugins.md`` has the contract of each."""

    MODELS = "models"
    DATASETS = "datasets"
    METRICS = "metrics"
    GATES = "gates"
    SAMPLERS = "samplers"
    DISTANCES = "distances"
    HOOKS = "hooks"

    @property
    def entry_points(self) -> str:
        """The entry point group in a distribution's metadata."""
        return f"modelyard.{self}"

    @property
    def one(self) -> str:
        """A member of it, as messages call it."""
        return self.removesuffix("s")
