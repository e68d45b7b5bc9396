"""The images' recipes, without building them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
IMAGES = ("trial", "flow", "serve")
NEVER_IN_A_TRIAL = {"alembic", "fastapi", "kubernetes", "mlflow", "optuna", "prefect", "sqlalchemy"}


def instructions(image: str) -> list[str]:
    """A Dockerfile's instructions, continued lines joined, without comments."""
    text = (ROOT / "images" / image / "Dockerfile").read_text()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return "\n".join(lines).replace("\\\n", "").split("\n")


def stage(image: str, name: str) -> list[str]:
    """The instructions of one stage; that without a name is the last."""
    wanted: list[str] = []
    inside = False
    for line in instructions(image):
        if line.startswith("FROM "):
            inside = line.endswith(f" AS {name}") if name else " AS " not in line
        wanted += [line] if inside else []
    return wanted


def required(*extra: str) -> set[str]:
    """Names of the distributions that the builds install."""
    printed = subprocess.run(
        [sys.executable, ROOT / "images" / "requirements.py", *extra],
        input=(ROOT / "pyproject.toml").read_text(),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return {re.split(r"[^\w.-]", line)[0] for line in printed.splitlines()}


@pytest.mark.parametrize("name", ["wanted", "dependencies", "code"])
@pytest.mark.parametrize("image", ["flow", "serve"])
def test_the_first_stages_are_the_trials_own(image: str, name: str) -> None:
    """A builder makes the shared stages once, and a node keeps their layers once."""
    assert stage(image, name) == stage("trial", name) != []


@pytest.mark.parametrize("image", IMAGES)
def test_the_shared_layers_come_first(image: str) -> None:
    """The three images are equal up to the layer with PyTorch, so that it is one layer."""
    shared = [line.split()[0] for line in stage(image, "")[:3]]

    assert stage(image, "")[:3] == stage("trial", "")[:3]
    assert shared == ["FROM", "RUN", "COPY"]


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_runs_as_nobody_special(image: str) -> None:
    """Each runs under the user id that the trial pods have, never as root."""
    users = [line for line in stage(image, "") if line.startswith("USER")]

    assert users == ["USER 10001:10001"]


@pytest.mark.parametrize("image", IMAGES)
def test_byte_code_is_compiled(image: str) -> None:
    """Nothing turns byte code off, and each stage that installs compiles what it installed."""
    lines = instructions(image)
    installs = [line for line in lines if "--no-compile" in line and "torch" not in line.split()]

    assert not any("PYTHONDONTWRITEBYTECODE" in line for line in lines)
    assert installs
    assert all("compileall" in line for line in installs)


def test_a_trial_needs_no_server_and_no_database() -> None:
    """The base install names neither the servers' libraries nor a database driver."""
    names = required()

    assert "torch" in names
    assert not NEVER_IN_A_TRIAL & names
    assert not any(name.startswith("psycopg") for name in names)


def test_an_extra_brings_the_extras_it_names() -> None:
    """What ``[flow]`` says of ``[serve]`` is installed by name, not by another copy of us."""
    assert required("serve") < required("flow")
    assert required("flow") >= NEVER_IN_A_TRIAL
    assert "modelyard" not in required("flow")
