"""Model versions: what there is, who serves, and back to the one before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelyard.api import GateView, VersionView
from modelyard.errors import DigestMismatch, InputError
from modelyard.registry import packing
from modelyard.registry.tracking import Tracking
from modelyard.store.manifest import read_manifest
from modelyard.store.store import store_for

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

CHAMPION, PREVIOUS = "champion", "previous"
SERVING_ALIAS = "modelyard.alias"
"""Tag of a model: the alias of the version that serves."""

DOCUMENTS = ("modelyard.metrics", "modelyard.gates", "modelyard.files")
"""Tags that hold JSON and have fields of their own in a view."""


def versions(tracking: Tracking, name: str) -> list[VersionView]:
    """All versions of a model, newest first; empty for an unknown name."""
    held = aliases(tracking, name)
    return [view(version, held) for version in model_versions(tracking, name)]


def champion_model(tracking: Tracking, name: str, alias: str = CHAMPION) -> str | None:
    """URI of the champion's packed model, as ``store.fetch`` takes it; None without a champion."""
    number = aliases(tracking, name).get(alias)
    return None if number is None else packed_model(tracking, name, number)


def packed_model(tracking: Tracking, name: str, version: int) -> str:
    """URI of a version's packed model, as ``store.fetch`` takes it."""
    return packing.packed_uri(tracking.client.get_model_version_download_uri(name, str(version)))


def version_folder(tracking: Tracking, name: str, version: int, *, cache: Path) -> Path:
    """Folder of a version's packed model, verified, with ``example.json`` in it.

    Args:
        cache: where a version that lies in a bucket is copied to.

    Raises:
        InputError: there is no such version.
        DigestMismatch: a file is not the one that was registered.
    """
    found = {v.version: v for v in model_versions(tracking, name)}
    numbers = {int(number): v for number, v in found.items()}
    if version not in numbers:
        known = ", ".join(str(number) for number in sorted(numbers)) or "none"
        raise InputError(f"model {name} has no version {version}; there are: {known}")
    uri = packed_model(tracking, name, version)
    folder = store_for(uri, cache=cache).fetch(uri)
    digests = {file: entry.blake3 for file, entry in read_manifest(folder).items()}
    if packing.digest(digests) != numbers[version].tags.get("modelyard.digest"):
        raise DigestMismatch(f"{folder} does not hold the files that were registered as {version}")
    return folder


def rollback(tracking: Tracking, name: str) -> VersionView:
    """Swap previous and champion (or whatever alias serves); returns the one to serve now.

    Raises:
        InputError: no such model, or nothing to go back to.
    """
    with tracking.alone():
        held = aliases(tracking, name)
        alias = _serving_alias(tracking, name) if held else CHAMPION
        champion, previous = held.get(alias), held.get(PREVIOUS)
        if champion is None:
            raise InputError(f"there is no model {name!r} with a {alias}; nothing can be undone")
        if previous is None or previous == champion:
            raise InputError(
                f"version {champion} of {name} has no version before it that served; "
                "nothing can be undone"
            )
        tracking.client.set_registered_model_alias(name, alias, str(previous))
        tracking.client.set_registered_model_alias(name, PREVIOUS, str(champion))
        return next(v for v in versions(tracking, name) if v.version == previous)


def aliases(tracking: Tracking, name: str) -> dict[str, int]:
    """Version by alias; empty for an unknown name. (MLflow's search leaves aliases out.)"""
    from mlflow.exceptions import MlflowException

    try:
        model = tracking.client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return {}
        raise
    return {alias: int(number) for alias, number in model.aliases.items()}


def make_champion(tracking: Tracking, name: str, alias: str, version: int) -> None:
    """Give a version the alias that serves; who had it becomes previous. May be repeated."""
    client = tracking.client
    old = aliases(tracking, name).get(alias)
    client.set_registered_model_tag(name, SERVING_ALIAS, alias)
    if old is not None and old != version:
        client.set_registered_model_alias(name, PREVIOUS, str(old))
    client.set_registered_model_alias(name, alias, str(version))


def _serving_alias(tracking: Tracking, name: str) -> str:
    """The alias that ``register.alias`` named last."""
    tags = tracking.client.get_registered_model(name).tags
    return str(tags.get(SERVING_ALIAS, CHAMPION))


def model_versions(tracking: Tracking, name: str) -> list[ModelVersion]:
    """MLflow's own records of a model's versions, newest first."""
    found = tracking.client.search_model_versions(f"name='{name}'")
    return sorted(found, key=lambda version: int(version.version), reverse=True)


def view(version: ModelVersion, held: dict[str, int]) -> VersionView:
    """A version as the API shows it."""
    tags: dict[str, str] = version.tags
    number = int(version.version)
    gap = tags.get("modelyard.gap")
    return VersionView(
        name=version.name,
        version=number,
        semantic=tags.get("modelyard.version", ""),
        aliases=tuple(sorted(alias for alias, of in held.items() if of == number)),
        uri=f"models:/{version.name}/{number}",
        metrics=_document(tags, "modelyard.metrics", {}),
        gates=tuple(GateView(**gate) for gate in _document(tags, "modelyard.gates", [])),
        gap=None if gap is None else float(gap),
        tags={key: value for key, value in tags.items() if key not in DOCUMENTS},
    )


def _document(tags: dict[str, str], key: str, default: Any) -> Any:
    return json.loads(tags[key]) if key in tags else default
