"""Weights to start from as the command line sees them: looked at, asked for, sent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from modelyard.cli.cluster import cluster
from modelyard.cli.display import Display
from modelyard.client import Client
from modelyard.errors import (
    ExperimentError,
    InputError,
    Mistake,
    ModelyardError,
    ServerUnreachable,
)
from modelyard.experiment.model import Experiment
from modelyard.experiment.places import UPLOADED, absolute
from modelyard.experiment.sources import has_weights_at_path, with_weights_from
from modelyard.experiment.weights import is_version
from modelyard.experiment.written import wanted
from modelyard.local import services
from modelyard.models.packed import DESCRIPTION, describe
from modelyard.models.pretrained import open_pretrained
from modelyard.settings import Settings


@dataclass(frozen=True, kw_only=True)
class SeenWeights:
    """What a look at the weights of an experiment brought.

    Args:
        mistakes: why they can't be started from.
        note: which version they are, or that only the run's start can tell; None for files.
    """

    mistakes: tuple[Mistake, ...] = ()
    note: str | None = None


def look_at_weights(
    experiment: Experiment, base: Path, raw: Mapping[str, Any], *, on_cluster: bool
) -> SeenWeights:
    """What is to be said of the weights that an experiment names.

    Args:
        experiment: validated, or the sound part of a file.
        base: folder that a relative path starts from.
        raw: the file's keys and values, so that paths are the user's.
        on_cluster: it is to run there, where another registry is.
    """
    weights = experiment.model.weights
    if weights is None:
        return SeenWeights()
    place = wanted(raw, ("model", "weights", "source")).dotted
    if is_version(weights.source):
        seen = _ask_for(weights.source, experiment.model.family, on_cluster=on_cluster)
        return replace(seen, mistakes=tuple(replace(m, path=place) for m in seen.mistakes))
    if has_weights_at_path(experiment):
        try:
            open_pretrained(Path(absolute(weights.source, base)), weights.source)
        except InputError as error:
            mistake = Mistake(path=place, message=str(error), value=weights.source)
            return SeenWeights(mistakes=(mistake,))
    return SeenWeights()


def with_uploaded_weights(client: Client, experiment: Experiment, display: Display) -> Experiment:
    """The experiment with its weights in the server's store, where they lie on this machine.

    Of a packed model's folder its description travels and the tensors that it names by digest:
    what is there already isn't sent again.
    """
    weights = experiment.model.weights
    if weights is None or not has_weights_at_path(experiment):
        return experiment
    path = Path(weights.source)
    if not path.is_dir():
        return with_weights_from(experiment, _sent(client, path, path.name, display))
    _sent(client, path / describe(path).file, path.name, display)
    name = f"{path.name}/{DESCRIPTION}"
    return with_weights_from(experiment, _sent(client, path / DESCRIPTION, name, display))


def _sent(client: Client, file: Path, name: str, display: Display) -> str:
    """A file's source once it is in the server's store."""
    display.say(f"sending {file.name} ({file.stat().st_size:,} bytes) unless it is there")
    return f"{UPLOADED}{client.upload(file, file.name)}/{name}"


def _ask_for(source: str, family: str, *, on_cluster: bool) -> SeenWeights:
    try:
        with _registry(Settings(), on_cluster=on_cluster) as client:
            found = client.weights(source, family)
    except ExperimentError as error:
        return SeenWeights(mistakes=error.mistakes)
    except ModelyardError as error:
        return SeenWeights(
            note=f"{source} is looked up when a run starts: {str(error).rstrip('.')}."
        )
    return SeenWeights(note=f"Starts from {found.version}, digest {found.digest[:12]}.")


@contextmanager
def _registry(settings: Settings, *, on_cluster: bool) -> Iterator[Client]:
    """The server that can be asked for versions, where one runs: none is started for a look.

    Raises:
        ModelyardError: none can be.
    """
    if on_cluster:
        with cluster(settings) as client:
            yield client
        return
    here = settings.embedded()
    if services.running("server", here.paths) is None:
        raise ServerUnreachable(f"no Modelyard server runs for {here.paths.home}")
    with Client.connect(here) as client:
        yield client
