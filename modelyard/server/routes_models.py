"""Routes of registered versions and of the servers that serve them."""

from __future__ import annotations

from fastapi import APIRouter

from modelyard.api import ServingView, VersionView
from modelyard.contract import PinnedVersion
from modelyard.server.core import CoreOf
from modelyard.server.weights import pin

ROUTER = APIRouter(prefix="/v1")


@ROUTER.get("/models/{name}")
def versions(core: CoreOf, name: str) -> list[VersionView]:
    """The versions of a model, newest first."""
    return core.library.versions(name)


@ROUTER.get("/weights")
def weights(core: CoreOf, source: str, family: str) -> PinnedVersion:
    """The version that ``model.weights.source`` means in an experiment of a family; 422 where
    there is none to start from."""
    return pin(source, family, core.library, core.store)


@ROUTER.post("/models/{name}/rollback")
def rollback(core: CoreOf, name: str) -> ServingView:
    """Let the version serve that was champion before."""
    return core.library.rollback(name)


@ROUTER.get("/servings")
def servings(core: CoreOf) -> list[ServingView]:
    """The model servers of this installation that run."""
    return core.library.servings()
