"""Where ``data.source`` points: a bucket, the server's store, a volume, a plugin, a file's path."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

NAMED = "sklearn:"
UPLOADED = "upload:"
PLUGIN = "plugin:"

SETS = (
    "mnist",
    "fashion-mnist",
    "cifar-10",
    "cifar-100",
    "gtsrb",
    "imdb",
    "reuters",
    "kepler",
    "tess",
    "k2",
)
"""Published sets that are known by their names."""


def set_name(source: str) -> str | None:
    """The published set that a source means; None where it is something else."""
    name = source.lower().replace("_", "-")
    return name if name in SETS else None


def plugin_name(value: str) -> str | None:
    """The plugin that a value means; None where it is something else."""
    return value.removeprefix(PLUGIN) if value.startswith(PLUGIN) else None


def is_path(source: str) -> bool:
    """Whether a source names a file or a folder by its path."""
    named = source.startswith((NAMED, UPLOADED, PLUGIN)) or set_name(source) is not None
    return "://" not in source and not named


def absolute(source: str, base: Path) -> str:
    """A file's source as an absolute path; any other stays as it is.

    Args:
        source: ``data.source``.
        base: folder that a relative path starts from.
    """
    return os.path.abspath(base / Path(source).expanduser()) if is_path(source) else source


def is_mounted(source: str, volumes: Iterable[Mapping[str, Any]]) -> bool:
    """Whether a source lies on one of these volumes, each with its ``mount_path``."""
    path = PurePosixPath(source)
    mounts = (volume.get("mount_path") for volume in volumes)
    return path.is_absolute() and any(
        isinstance(mount, str) and path.is_relative_to(mount) for mount in mounts
    )
