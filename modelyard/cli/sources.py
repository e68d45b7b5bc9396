"""Where a run goes, and where its data lies: on this machine, or where only the cluster looks."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from modelyard.data.published import set_name
from modelyard.experiment.model import Experiment
from modelyard.settings import Settings

NAMED = "sklearn:"
UPLOADED = "upload:"


def goes_to_cluster(settings: Settings, on: str | None) -> bool:
    """Whether a command is meant for the cluster.

    Args:
        settings: those that name a server mean it by default.
        on: ``local`` or ``cluster`` as typed; None when nothing was.
    """
    return settings.server is not None if on is None else on == "cluster"


def is_path(source: str) -> bool:
    """Whether a ``data.source`` names a file or a folder by its path."""
    named = source.startswith((NAMED, UPLOADED)) or set_name(source) is not None
    return "://" not in source and not named


def absolute(source: str, base: Path) -> str:
    """A file's source as an absolute path; any other stays as it is.

    Args:
        source: ``data.source``.
        base: folder that a relative path starts from.
    """
    return os.path.abspath(base / Path(source).expanduser()) if is_path(source) else source


def is_elsewhere(experiment: Experiment, *, on_cluster: bool) -> bool:
    """Whether only the prepare stage can look at the data: in a bucket, in the server's store, on
    a volume that the cluster mounts, or a published set, whose folder is the cluster's there.
    """
    source = experiment.data.source
    if set_name(source) is not None:
        return on_cluster
    if not is_path(source):
        return not source.startswith(NAMED)
    return on_cluster and is_mounted(experiment)


def is_mounted(experiment: Experiment) -> bool:
    """Whether the source lies on one of the volumes that the file mounts."""
    path = PurePosixPath(experiment.data.source)
    mounts = (volume.get("mount_path") for volume in experiment.resources.volumes)
    return path.is_absolute() and any(
        isinstance(mount, str) and path.is_relative_to(mount) for mount in mounts
    )
