"""How an experiment names its own model: ``file.py:Class``."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path, PurePath

from modelyard.experiment.model import is_own_code


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A class in a file.

    Args:
        path: as it is written, relative to the experiment file, or absolute.
        name: the class.
    """

    path: str
    name: str

    @classmethod
    def of(cls, family: str) -> Reference | None:
        """The reference that stands for a family, None for a family that comes with Modelyard."""
        if not is_own_code(family):
            return None
        path, _, name = family.partition(":")
        return cls(path=path, name=name)

    @property
    def file(self) -> str:
        """Name of the file within its folder: all that is left of the path in an archive."""
        return PurePath(self.path).name

    def locate(self, base: Path) -> Path:
        """The file on this machine, absolute.

        Args:
            base: folder that a relative path starts from.
        """
        return Path(os.path.abspath(base / Path(self.path).expanduser()))
