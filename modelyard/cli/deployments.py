"""``prefect.yaml``: which one, whether it is sound, and its deployments in our Prefect server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

import modelyard
from modelyard.cli.terminal import program
from modelyard.cli.waits import waiting_for
from modelyard.errors import InputError, ModelyardError

DEPLOY_SECONDS = 600.0
"""Longest that Prefect may take; it takes ten seconds where the machine does nothing else."""


class _Strict(BaseModel):
    """Prefect reads over keys that it doesn't know; a typing error must not."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class WorkPoolKeys(_Strict):
    """Keys of a deployment's ``work_pool``."""

    name: str
    work_queue_name: str | None = None
    job_variables: dict[str, Any] = {}


class DeploymentKeys(_Strict):
    """Keys of one deployment, as Prefect 3.8 reads them."""

    name: str
    entrypoint: str
    version: str | None = None
    version_type: str | None = None
    tags: list[str] = []
    description: str | None = None
    schedule: dict[str, Any] | None = None
    schedules: list[dict[str, Any]] | None = None
    paused: bool | None = None
    concurrency_limit: int | dict[str, Any] | None = None
    flow_name: str | None = None
    parameters: dict[str, Any] = {}
    enforce_parameter_schema: bool | None = None
    build: list[dict[str, Any]] | None = None
    push: list[dict[str, Any]] | None = None
    pull: list[dict[str, Any]] | None = None
    work_pool: WorkPoolKeys
    triggers: list[dict[str, Any]] | None = None
    sla: list[dict[str, Any]] | None = None


class PrefectKeys(_Strict):
    """Keys of the file."""

    name: str | None = None
    prefect_version: str | None = Field(None, alias="prefect-version")
    build: list[dict[str, Any]] | None = None
    push: list[dict[str, Any]] | None = None
    pull: list[dict[str, Any]] | None = None
    definitions: dict[str, Any] = {}
    deployments: list[DeploymentKeys] = Field(min_length=1)


def prefect_file() -> Path:
    """The checkout's ``prefect.yaml``, or the copy inside an installed package."""
    package = Path(modelyard.__file__).parent
    checkout = package.parent / "prefect.yaml"
    return checkout if checkout.exists() else package / "prefect.yaml"


def deployment_names(file: Path) -> tuple[str, ...]:
    """The names of a file's deployments, as ``flow/deployment`` is not known before.

    Raises:
        InputError: it can't be read, or has a key that Prefect doesn't know.
    """
    try:
        keys = PrefectKeys.model_validate(yaml.safe_load(file.read_text()))
    except (OSError, yaml.YAMLError) as error:
        raise InputError(f"{file} can't be read: {error}") from error
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()
        )
        raise InputError(f"{file}: {wrong}") from error
    return tuple(deployment.name for deployment in keys.deployments)


def deploy_all(file: Path, environment: Mapping[str, str], say: Callable[[str], None]) -> None:
    """Create or update every deployment of a file.

    Args:
        file: a ``prefect.yaml`` that ``deployment_names`` accepts.
        environment: names the Prefect server.
        say: told what is done, and what is waited for where that takes long.

    Raises:
        ModelyardError: Prefect refused it, or takes too long; holds what it said.
    """
    say(f"making the deployments of {file}")
    command = (sys.executable, "-P", "-m", "prefect", "--no-prompt", "deploy", "--all")
    try:
        with waiting_for("Prefect to make the deployments", DEPLOY_SECONDS, say):
            done = subprocess.run(
                [*command, "--prefect-file", str(file)],
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=DEPLOY_SECONDS,
            )
    except subprocess.TimeoutExpired as error:
        raise ModelyardError(
            f"Prefect didn't make the deployments of {file} within {DEPLOY_SECONDS:g} s; "
            f"`{program()} up` tries again"
        ) from error
    if done.returncode != 0:
        said = (done.stdout + done.stderr).strip()
        raise ModelyardError(f"Prefect refused the deployments of {file}:\n{said}")
