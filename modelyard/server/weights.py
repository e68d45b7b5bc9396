"""Weights that are a registered version: which one is meant, told once, before anything starts."""

from __future__ import annotations

from modelyard.contract import PinnedVersion
from modelyard.errors import ExperimentError, InputError, Mistake
from modelyard.experiment.model import Experiment
from modelyard.experiment.weights import Version, is_version
from modelyard.models.families import FAMILIES
from modelyard.server.library import Library
from modelyard.store.store import Store

AUTO = "auto"
KEY = "model.weights.source"


def pinned_weights(experiment: Experiment, library: Library, store: Store) -> PinnedVersion | None:
    """The version that an experiment starts from, None where it names none.

    Args:
        experiment: validated.
        library: of the registry.
        store: where packed models lie.

    Raises:
        ExperimentError: there is no such version, or it is no model that could be started from.
        ModelyardError: the registry can't be asked.
    """
    weights = experiment.model.weights
    if weights is None or not is_version(weights.source):
        return None
    return pin(weights.source, experiment.model.family, library, store)


def pin(source: str, family: str, library: Library, store: Store) -> PinnedVersion:
    """What ``model.weights.source`` means in an experiment of a family.

    Args:
        source: ``models:/NAME/VERSION`` or ``models:/NAME@ALIAS``.
        family: the experiment's; ``auto`` where the data tells.
        library, store: as for ``pinned_weights``.

    Raises:
        ExperimentError, ModelyardError: as for ``pinned_weights``.
    """
    from modelyard.registry.pinning import VersionError  # late: see ``Library``

    try:
        found = library.pinned(Version.parse(source))
    except VersionError as error:
        raise ExperimentError("experiment", (Mistake.of(error, KEY, source),)) from error
    except ValueError as error:
        raise _mistake(source, str(error)) from error
    of = found.family
    if of is not None and of in FAMILIES and not FAMILIES[of].network:
        raise _mistake(
            source,
            f"{found.version} is a {of}, which is grown and not trained on; weights are of a "
            "network",
        )
    if of is not None and family not in (AUTO, of):
        raise _mistake(
            source,
            f"{found.version} is a model of the family {of}, and the experiment's is {family}; "
            "name the same under model.family",
        )
    try:
        there = store.has(found.uri)
    except InputError as error:  # an MLflow experiment of somebody else's keeps them elsewhere
        raise _mistake(source, f"the files of {found.version} can't be reached: {error}") from error
    if not there:
        raise _mistake(source, f"the files of {found.version} are gone: nothing is at {found.uri}")
    return found


def _mistake(source: str, message: str) -> ExperimentError:
    mistake = Mistake(path=KEY, message=message, value=source)
    return ExperimentError("experiment", (mistake,))
