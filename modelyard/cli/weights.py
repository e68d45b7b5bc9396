"""Weights to start from as the command line sees them: looked at, made absolute, sent."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelyard.cli.display import Display
from modelyard.client import Client
from modelyard.errors import InputError, Mistake
from modelyard.experiment.model import Experiment
from modelyard.experiment.places import UPLOADED, absolute, is_mounted, is_path
from modelyard.experiment.weights import is_version
from modelyard.experiment.written import wanted
from modelyard.models.pretrained import open_pretrained


def look_at_weights(
    experiment: Experiment, base: Path, raw: Mapping[str, Any]
) -> tuple[Mistake, ...]:
    """What is wrong with the weights that an experiment names; () without any.

    Args:
        experiment: validated, or the sound part of a file.
        base: folder that a relative path starts from.
        raw: the file's keys and values, so that paths are the user's.
    """
    weights = experiment.model.weights
    if weights is None or not _is_here(weights.source, experiment):
        return ()
    try:
        open_pretrained(Path(absolute(weights.source, base)), weights.source)
    except InputError as error:
        found = wanted(raw, ("model", "weights", "source"))
        return (Mistake(path=found.dotted, message=str(error), value=weights.source),)
    return ()


def with_absolute_weights(experiment: Experiment, base: Path) -> Experiment:
    """The experiment with the path of its weights starting at the root."""
    weights = experiment.model.weights
    if weights is None or is_version(weights.source):
        return experiment
    return _with_source(experiment, absolute(weights.source, base))


def with_uploaded_weights(client: Client, experiment: Experiment, display: Display) -> Experiment:
    """The experiment with its weights in the server's store, where they are a file of this machine.

    Raises:
        InputError: they are the folder of a packed model.
    """
    weights = experiment.model.weights
    if weights is None or not _is_here(weights.source, experiment):
        return experiment
    path = Path(weights.source)
    if path.is_dir():
        raise InputError(
            f"model.weights: {path} is a folder, and folders aren't uploaded; put it on a volume "
            "that the cluster mounts (resources.volumes) and give its path there, or name the "
            "weights.safetensors in it"
        )
    display.say(f"sending {path.name} ({path.stat().st_size:,} bytes) unless it is there")
    return _with_source(experiment, f"{UPLOADED}{client.upload(path, path.name)}/{path.name}")


def _is_here(source: str, experiment: Experiment) -> bool:
    volumes = experiment.resources.volumes
    return is_path(source) and not is_version(source) and not is_mounted(source, volumes)


def _with_source(experiment: Experiment, source: str) -> Experiment:
    assert experiment.model.weights is not None
    weights = experiment.model.weights.model_copy(update={"source": source})
    model = experiment.model.model_copy(update={"weights": weights})
    return experiment.model_copy(update={"model": model})
