"""The servers of one installation: how each is started and where it says that it is well."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

from modelyard.settings import Paths, Settings

HOST = "127.0.0.1"
"""Everything embedded listens on this machine alone."""

CLUSTER = ("MODELYARD_SERVER", "MODELYARD_API_KEY")
"""Variables that lead to a cluster's server."""

POOL = "modelyard"
"""Name of the Prefect work pool whose runs the worker takes."""


@dataclass(frozen=True, kw_only=True)
class Program:
    """One server.

    Args:
        name: of its service.
        title: what users call it.
        module: run as ``python -P -m``, so that files beside the user can't shadow a library.
        arguments: of the module; ``{port}`` stands for the port that was found free.
        port: the preferred one.
        health: path that answers below 300 once it is ready.
        environment: beyond the caller's; ``{port}`` as in the arguments.
    """

    name: str
    title: str
    module: str
    arguments: tuple[str, ...]
    port: int
    health: str
    environment: Mapping[str, str] = field(default_factory=dict)

    def argv(self, port: int) -> list[str]:
        """Absolute program and arguments."""
        arguments = (argument.replace("{port}", str(port)) for argument in self.arguments)
        return [sys.executable, "-P", "-m", self.module, *arguments]

    def env(self, port: int, settings: Settings) -> dict[str, str]:
        """The whole environment."""
        own = {key: value.replace("{port}", str(port)) for key, value in self.environment.items()}
        return {**base_environment(settings), **own}


def base_environment(settings: Settings) -> dict[str, str]:
    """The caller's environment without a Prefect, MLflow or cluster of their own, with our home.

    The user's profile of Prefect, their tracking server and their cluster have nothing to do with
    an embedded installation, and must neither be used nor changed by it.
    """
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("PREFECT_", "MLFLOW_")) and key not in CLUSTER
    }
    home, datasets = str(settings.paths.home), str(settings.datasets_folder)
    return {**kept, "MODELYARD_HOME": home, "MODELYARD_DATASETS": datasets}


def prefect_environment(paths: Paths, address: str) -> dict[str, str]:
    """What a process needs to speak to this installation's Prefect server and to no other."""
    return {
        "PREFECT_HOME": str(paths.prefect),
        "PREFECT_API_URL": f"{address}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }


def server() -> Program:
    """Our own server."""
    return Program(
        name="server",
        title="Modelyard server",
        module="modelyard.server",
        arguments=("--port", "{port}"),
        port=4300,
        health="/readyz",
    )


def prefect(paths: Paths) -> Program:
    """The Prefect server, as one process: ``prefect server start`` would be two."""
    address = f"http://{HOST}:{{port}}"
    return Program(
        name="prefect",
        title="Prefect server",
        module="uvicorn",
        arguments=(
            *("--factory", "prefect.server.api.server:create_app"),
            *("--host", HOST, "--port", "{port}", "--log-level", "warning"),
        ),
        port=4200,
        health="/api/health",
        environment={
            **prefect_environment(paths, address),
            "PREFECT_SERVER_API_HOST": HOST,
            "PREFECT_SERVER_API_PORT": "{port}",
            # Beside the package it may not be writable, and two homes would share it.
            "PREFECT_UI_STATIC_DIRECTORY": str(paths.prefect / "ui"),
        },
    )


def mlflow(paths: Paths) -> Program:
    """MLflow's pages over the same store that our server writes.

    More than one worker process only slows it down here, and its job runner isn't used.
    """
    return Program(
        name="mlflow",
        title="MLflow UI",
        module="mlflow",
        arguments=(
            *("server", "--host", HOST, "--port", "{port}", "--workers", "1"),
            *("--backend-store-uri", f"sqlite:///{paths.mlflow}"),
            *("--default-artifact-root", paths.mlflow_artifacts.as_uri()),
        ),
        port=5000,
        health="/health",
        environment={
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_SERVER_ALLOWED_HOSTS": f"{HOST}:{{port}},localhost:{{port}}",
            "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        },
    )


def worker_argv() -> list[str]:
    """The Prefect worker, which has no address of its own."""
    pool = ("--pool", POOL, "--type", "process", "--name", POOL)
    return [sys.executable, "-P", "-m", "prefect", "worker", "start", *pool]
