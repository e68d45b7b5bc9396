"""Plugins as ``pip install --target`` leaves them: modules, and the metadata that names them."""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Mapping
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples" / "plugins"


def write(
    target: Path,
    distribution: str,
    points: Mapping[str, Mapping[str, str]],
    files: Mapping[str, str],
    version: str = "0.1.0",
) -> None:
    """Install a distribution that is made up.

    Args:
        target: folder for ``sys.path``; made if it isn't there.
        distribution: its name.
        points: entry points by group (``models``) and name: ``module:object``.
        files: text of its modules by file name.
        version: of the distribution.
    """
    target.mkdir(exist_ok=True)
    for name, text in files.items():
        (target / name).write_text(text)
    info = target / f"{distribution.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.4\nName: {distribution}\nVersion: {version}\n"
    )
    lines = []
    for group, named in points.items():
        lines += [f"[modelyard.{group}]", *(f"{name} = {value}" for name, value in named.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")


def install(target: Path, *names: str, version: str | None = None) -> None:
    """Install example packages by their folders' names, without the seconds that pip takes.

    Args:
        target: folder for ``sys.path``.
        names: folders of ``examples/plugins``.
        version: instead of their own.
    """
    for name in names:
        project = tomllib.loads((EXAMPLES / name / "pyproject.toml").read_text())["project"]
        points = {
            group.removeprefix("modelyard."): named
            for group, named in project["entry-points"].items()
        }
        write(target, project["name"], points, {}, version or project["version"])
        for module in (EXAMPLES / name).glob("*.py"):
            shutil.copy(module, target)
