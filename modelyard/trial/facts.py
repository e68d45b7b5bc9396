"""What decides a launch's numbers besides its parameters: build, threads, CPU, device (T6)."""

from __future__ import annotations

import os
import platform
import resource
import socket
import sys
from collections.abc import Mapping
from importlib.metadata import version

import torch

from modelyard.contract import Scalar, Started
from modelyard.evaluate.catalogue import METRICS
from modelyard.experiment.model import Experiment
from modelyard.experiment.plugins import uses
from modelyard.models.families import FAMILIES, family_named
from modelyard.models.needed import needed_by
from modelyard.plugins.groups import Group
from modelyard.plugins.installed import named

VERSIONS = {
    "python": platform.python_version(),
    **{name: version(name) for name in ("modelyard", "torch", "numpy", "scikit-learn")},
}
"""Read when this is imported: it takes 30 ms, which a fork server spends before it forks."""


def started(
    resumed_epoch: int | None, experiment: Experiment, parameters: Mapping[str, Scalar]
) -> Started:
    """The first word of a launch.

    Args:
        resumed_epoch: epoch of the checkpoint to go on from, None for a fresh start.
        experiment: whose plugins are told.
        parameters: of the trial, some of which may name plugins.
    """
    return Started(
        host=socket.gethostname(),
        process=os.getpid(),
        versions=VERSIONS,
        threads=torch.get_num_threads(),
        capability=torch.backends.cpu.get_cpu_capability(),
        device=device_name(),
        resumed_epoch=resumed_epoch,
        plugins=plugins(experiment, parameters),
    )


def plugins(experiment: Experiment, parameters: Mapping[str, Scalar]) -> dict[str, str]:
    """Every installed plugin that an experiment names, with its distribution and version.

    Raises:
        PluginError: the model's plugin can't be used.
    """
    found = {
        f"{use.group}.{use.name}": plugin.origin
        for use in uses(experiment)
        if use.name not in FAMILIES and use.name not in METRICS
        for plugin in named(Group(use.group), use.name)
    }
    if f"models.{experiment.model.family}" in found:
        family = family_named(experiment.model.family)
        given = {**experiment.model.parameters, **parameters}
        values = {name: given.get(name, p.default) for name, p in family.parameters.items()}
        for needed in needed_by(family, values):
            found[f"{needed.group}.{needed.name}"] = f"{needed.distribution} {needed.version}"
    return found


def device_name() -> str:
    """``cpu``, or the model of the GPU that torch would use."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name(0)
    return "cpu"


def peak_memory_bytes() -> int:
    """Largest resident size of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS counts in bytes, Linux in KiB (getrusage(2)).
    return peak if sys.platform == "darwin" else peak * 1024
