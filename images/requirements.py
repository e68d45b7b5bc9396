"""Prints what ``pyproject.toml`` wants installed: of the base, or of one extra with those it names.

Image builds install these before the code is there, so that a change of code costs seconds. Runs
in a bare Python of the build, with nothing of ours importable.

Usage: ``python requirements.py [EXTRA] < pyproject.toml``
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from typing import Any


def requirements(project: dict[str, Any], extra: str) -> Iterator[str]:
    """Requirement lines of an extra; ``name[other]`` of the project itself stands for that extra.

    Args:
        project: the table ``project`` of the file.
        extra: its name; empty for what the base install needs.
    """
    wanted = project["optional-dependencies"][extra] if extra else project["dependencies"]
    for line in wanted:
        own = re.fullmatch(rf"{re.escape(project['name'])}\[(.+)\]", line)
        if own is None:
            yield line
        else:
            for other in own[1].split(","):
                yield from requirements(project, other.strip())


if __name__ == "__main__":
    project = tomllib.loads(sys.stdin.read())["project"]
    print("\n".join(requirements(project, "".join(sys.argv[1:]))))
