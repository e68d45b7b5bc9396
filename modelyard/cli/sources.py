"""Where a run goes, and whether its data can be looked at from here."""

from __future__ import annotations

from modelyard.experiment.model import Experiment
from modelyard.experiment.places import NAMED, is_mounted, is_path, plugin_name, set_name
from modelyard.settings import Settings


def goes_to_cluster(settings: Settings, on: str | None) -> bool:
    """Whether a command is meant for the cluster.

    Args:
        settings: those that name a server mean it by default.
        on: ``local`` or ``cluster`` as typed; None when nothing was.
    """
    return settings.server is not None if on is None else on == "cluster"


def is_elsewhere(experiment: Experiment, *, on_cluster: bool) -> bool:
    """Whether only the prepare stage can look at the data: in a bucket, in the server's store, on
    a volume that the cluster mounts, or a published set or a plugin's, which are the cluster's
    own there.
    """
    source = experiment.data.source
    if set_name(source) is not None or plugin_name(source) is not None:
        return on_cluster
    if not is_path(source):
        return not source.startswith(NAMED)
    return on_cluster and is_mounted(source, experiment.resources.volumes)
