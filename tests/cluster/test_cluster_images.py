"""What is inside the images, listed by pods that run them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import pods
from tests.support.cluster import namespace, needed

pytestmark = pytest.mark.cluster

LOOK = """
import importlib.metadata, json, os, pathlib, sys
import modelyard
package = pathlib.Path(modelyard.__file__).parent
sources = [p for p in package.rglob("*.py")]
print(json.dumps({
    "installed": {d.name.lower().replace("_", "-"): d.version
                  for d in importlib.metadata.distributions()},
    "importable": [name for name in NAMES if importlib.util.find_spec(name)],
    "user": os.getuid(),
    "home": os.path.expanduser("~"),
    "flags": {"bytecode": not os.environ.get("PYTHONDONTWRITEBYTECODE")},
    "uncompiled": [str(p) for p in sources
                   if not pathlib.Path(importlib.util.cache_from_source(str(p))).exists()],
    "writable": [str(p) for p in (package, pathlib.Path(sys.prefix)) if os.access(p, os.W_OK)],
    "secrets": [name for name in os.environ if "KEY" in name or "TOKEN" in name],
}))
"""

STRANGERS = (
    *("prefect", "prefect_kubernetes", "kubernetes", "kubernetes_asyncio", "optuna", "mlflow"),
    *("sqlalchemy", "alembic", "psycopg2", "psycopg", "asyncpg", "aiosqlite"),
)
"""Clients that a trial has no business with."""

SERVERS = ("fastapi", "uvicorn", "prometheus_client")
TOOLS = ("pip", "pytest", "mypy", "ruff", "hypothesis", "hatchling")
ALL = (*STRANGERS, *SERVERS, *TOOLS)


@pytest.fixture(scope="module")
def space() -> Iterator[str]:
    """A namespace for the pods of this module."""
    with namespace("modelyard-images") as name:
        yield name


@pytest.fixture(scope="module", params=["trial", "flow", "serve"])
def found(request: pytest.FixtureRequest, space: str) -> dict[str, Any]:
    """What a pod of an image says of itself."""
    kind = str(request.param)
    image = needed(f"MODELYARD_TEST_IMAGE_{kind.upper()}")
    program = f"import importlib.util\nNAMES = {ALL!r}\n{LOOK}"
    seen: dict[str, Any] = json.loads(pods.run(space, f"look-{kind}", image, program))
    return {**seen, "kind": kind}


def test_an_image_holds_what_its_programs_need_and_no_more(found: dict[str, Any]) -> None:
    """A trial finds no orchestrator, tracker, study or database driver; a model server no more
    than a web server; the flow image has them all; no image has tools of ours."""
    expected = {
        "trial": set(),
        "serve": set(SERVERS),
        "flow": {*SERVERS, *STRANGERS} - {"psycopg"},
    }

    assert set(found["importable"]) == expected[found["kind"]]


def test_versions_are_the_pinned_ones(found: dict[str, Any]) -> None:
    """Each distribution in an image is there in the version that constraints.txt says."""
    lines = (Path(__file__).parents[2] / "constraints.txt").read_text().splitlines()
    pinned = {
        name.lower().replace("_", "-"): version
        for name, version in (line.split("==") for line in lines if "==" in line)
    }
    others = {
        name: version
        for name, version in found["installed"].items()
        if name != "modelyard" and re.sub(r"\+.*", "", version) != pinned.get(name)
    }

    assert others == {}


def test_an_image_is_run_by_nobody_special(found: dict[str, Any]) -> None:
    """Its user is 10001 with a home, and may not change a file of the programs."""
    assert (found["user"], found["home"]) == (10001, "/home/modelyard")
    assert found["writable"] == []
    assert found["secrets"] == []


def test_byte_code_is_there(found: dict[str, Any]) -> None:
    """Every module of ours comes compiled: no start compiles anything."""
    assert found["uncompiled"] == []
    assert found["flags"]["bytecode"]
