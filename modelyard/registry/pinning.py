"""A version to start from: found by its number or an alias, and held fast by its digest."""

from __future__ import annotations

from modelyard.contract import PinnedVersion
from modelyard.data.table import listed
from modelyard.errors import InputError
from modelyard.experiment.similar import did_you_mean, nearest
from modelyard.experiment.weights import Version
from modelyard.registry import versions
from modelyard.registry.tracking import Tracking

FAMILY = "modelyard.family"
"""Tag of a version: the family of its model."""

PAGE = 1000
"""Registered models asked for at once: the most that MLflow gives."""


class VersionError(InputError):
    """A version can't be started from. Names it."""


def pinned(tracking: Tracking, version: Version) -> PinnedVersion:
    """What a version is now.

    Args:
        tracking: MLflow.
        version: as the experiment names it.

    Raises:
        VersionError: there is no such model, version or alias, or Modelyard didn't register it.
    """
    # Before the versions: what they name is among those, though one be registered in between.
    held = versions.aliases(tracking, version.name) if version.number is None else {}
    known = {int(found.version): found for found in versions.model_versions(tracking, version.name)}
    if not known:
        raise _unknown_model(tracking, version.name)
    number = _number(version, tuple(known), held)
    uri, tags = f"models:/{version.name}/{number}", known[number].tags
    digest = tags.get("modelyard.digest")
    if digest is None:
        raise VersionError(
            f"{uri} was not registered by Modelyard, so it isn't known what is in it; give its "
            "weights as a .safetensors file"
        )
    return PinnedVersion(
        version=uri,
        uri=versions.packed_model(tracking, version.name, number),
        digest=digest,
        family=tags.get(FAMILY),
    )


def _number(version: Version, numbers: tuple[int, ...], held: dict[str, int]) -> int:
    """Of the version that is meant, among those that there are and by the aliases they have."""
    valid = tuple(f"models:/{version.name}/{number}" for number in numbers)
    if version.number is not None:
        if version.number in numbers:
            return version.number
        raise VersionError(
            f"model {version.name} has no version {version.number}; there are: {listed(numbers)}",
            valid=valid,
            nearest=valid[0],
        )
    held = {alias: number for alias, number in held.items() if number in numbers}
    if (number := held.get(version.alias or "")) is not None:
        return number
    near = nearest(version.alias or "", tuple(held))
    raise VersionError(
        f"no version of {version.name} has the alias {version.alias}; there are: "
        f"{listed(held) or 'none'}{did_you_mean(near)}",
        valid=tuple(f"models:/{version.name}@{alias}" for alias in held),
        nearest=None if near is None else f"models:/{version.name}@{near}",
    )


def _unknown_model(tracking: Tracking, name: str) -> VersionError:
    models = tracking.client.search_registered_models(max_results=PAGE)
    names = tuple(model.name for model in models)
    near = nearest(name, names)
    return VersionError(
        f"there is no model {name!r} in the registry; there are: {listed(names) or 'none'}"
        f"{did_you_mean(near)}",
        valid=names,
        nearest=near,
    )
