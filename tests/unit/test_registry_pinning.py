"""Versions to start from: what one is while others are registered."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from modelyard.experiment.weights import Version
from modelyard.registry import versions
from modelyard.registry.pinning import VersionError, pinned
from modelyard.registry.tracking import Tracking


class Registry:
    """One model, of which a version is registered, and serves, whenever something is read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.newest = 1
        self.gone: set[int] = set()
        monkeypatch.setattr(versions, "aliases", self.aliases)
        monkeypatch.setattr(versions, "model_versions", self.versions)
        monkeypatch.setattr(versions, "packed_model", lambda *given: f"packed:{given[-1]}")

    def aliases(self, *_given: object) -> dict[str, int]:
        found = {"champion": self.newest}
        self.newest += 1
        return found

    def versions(self, *_given: object) -> list[SimpleNamespace]:
        numbers = set(range(1, self.newest + 1)) - self.gone
        self.newest += 1
        return [SimpleNamespace(version=str(n), tags={"modelyard.digest": "d"}) for n in numbers]


TRACKING = Tracking("sqlite://", "nowhere")


def test_a_version_that_is_registered_meanwhile_does_no_harm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The alias names the version that had it at first, which is known."""
    Registry(monkeypatch)
    found = pinned(TRACKING, Version.parse("models:/digits@champion"))
    assert (found.version, found.uri) == ("models:/digits/1", "packed:1")


def test_an_alias_of_a_version_that_is_deleted_meanwhile_is_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is said like any other that isn't there."""
    Registry(monkeypatch).gone.add(1)
    with pytest.raises(VersionError, match="no version of digits has the alias champion"):
        pinned(TRACKING, Version.parse("models:/digits@champion"))
