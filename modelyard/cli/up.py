"""``modelyard up`` and ``modelyard down``: every server of a home, and the end of all of them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any

import httpx

from modelyard.cli import programs
from modelyard.cli.background import Background
from modelyard.cli.deployments import deploy_all, deployment_names, prefect_file
from modelyard.cli.programs import POOL, base_environment, prefect_environment
from modelyard.cli.servers import Attached, attach, attach_prefect, attach_server, log_tail
from modelyard.cli.terminal import console, print_json, print_line, program
from modelyard.cli.views import DownView, ServiceView, UpView
from modelyard.cli.waits import waiting_for
from modelyard.client import Client
from modelyard.errors import ModelyardError, ServerRefused, first_line
from modelyard.local import processes, services
from modelyard.settings import Settings

WORKER = "worker"

WORKER_QUERY_SECONDS = "2"
"""How often it looks for runs; Prefect's own 10 s are meant for many workers of one server."""

ANSWER_SECONDS = 60.0
"""Longest wait for one answer of Prefect's server, which has just been started."""

DOWN_SECONDS = 6.0
"""Between SIGTERM and SIGKILL: our server stops its trials with a checkpoint meanwhile."""


def up_command(json_output: bool) -> None:
    """Start whatever of the servers doesn't run yet, and make the deployments.

    Args:
        json_output: print the ``UpView``.

    Raises:
        InputError: the home folder can't be written, or ``prefect.yaml`` has a mistake.
        ModelyardError: a server doesn't come up; those that did stay.
    """
    settings, file = Settings().embedded(), prefect_file()
    names = deployment_names(file)
    services.prepare_home(settings.paths)
    out = console(json_output=json_output)

    def say(sentence: str) -> None:
        print_line(sentence, out)

    found = start_all(settings, say)
    prefect = found["prefect"].service.address
    if found["prefect"].started or not set(names) <= _deployed(prefect, say):
        deploy_all(file, _prefect_caller(settings, prefect), say)
    view = UpView(
        services=tuple(_view(name, attached) for name, attached in found.items()),
        deployments=names,
    )
    if json_output:
        print_json(view)
        return
    if not any(service.started for service in view.services):
        say("everything is up already:")
    for service in view.services:
        say(f"  {service.title:<18} {service.address}")
    say(f"  {'deployments':<18} {', '.join(view.deployments)}")
    say(f"`{program()} down` ends them")


def start_all(settings: Settings, say: Callable[[str], None]) -> dict[str, Attached]:
    """Every server by the name of its service, running. Ours and Prefect's start side by side.

    MLflow's comes after ours has opened the tracking store: two processes that make a fresh
    one at once both fail.
    """
    server = Background(lambda: attach_server(settings, None, say))
    prefect = Background(lambda: attach_prefect(settings, None, say))
    mlflow = Background(lambda: _attach_mlflow(settings, server, say))
    found = {"server": server.result(), "prefect": prefect.result()}
    worker = attach_worker(settings, found["prefect"].service.address, say)
    return {**found, WORKER: worker, "mlflow": mlflow.result()}


def attach_worker(settings: Settings, prefect: str, say: Callable[[str], None]) -> Attached:
    """The Prefect worker: the one that runs, or a new one once Prefect has heard of it.

    Args:
        prefect: address of the Prefect server.
    """
    paths = settings.paths
    with services.lock(WORKER, paths):
        found = services.running(WORKER, paths)
        if found is not None:
            return Attached(service=found, started=False)
        say(f"starting the Prefect worker of the work pool {POOL}")
        service = services.start(
            WORKER,
            programs.worker_argv(),
            env={
                **_prefect_caller(settings, prefect),
                "PREFECT_WORKER_QUERY_SECONDS": WORKER_QUERY_SECONDS,
            },
            address="",
            run=None,
            paths=paths,
        )
    deadline = time.monotonic() + settings.start_seconds
    while not _worker_known(prefect):
        if not services.alive(service) or time.monotonic() > deadline:
            raise ModelyardError(f"the Prefect worker did not come up{log_tail(WORKER, paths)}")
        time.sleep(0.1)
    return Attached(service=service, started=True)


def down_command(json_output: bool) -> None:
    """End every process of this home, model servers too; nothing is left when it returns.

    Args:
        json_output: print the ``DownView``.

    Raises:
        ModelyardError: a process could not be ended.
    """
    paths = Settings().paths
    ended = services.stop_all(paths, grace_seconds=DOWN_SECONDS) if paths.home.exists() else []
    left = processes.marked(services.MARK, f"{paths.home}|")
    if left:
        pids = ", ".join(str(process.pid) for process in left)
        raise ModelyardError(f"these processes of {paths.home} could not be ended: {pids}")
    if json_output:
        print_json(DownView(ended=tuple(service.name for service in ended)))
        return
    out = console()
    for service in ended:
        print_line(f"ended {service.name} {service.address}".rstrip(), out)
    if not ended:
        print_line(f"nothing of {paths.home} was running", out)


def _attach_mlflow(
    settings: Settings, server: Background[Attached], say: Callable[[str], None]
) -> Attached:
    # Any question to the registry opens the store, which takes a slow machine a while.
    with (
        Client(server.result().service.address, patience_seconds=settings.start_seconds) as client,
        contextlib.suppress(ServerRefused),
    ):
        client.patiently(lambda: client.versions(POOL))
    return attach(programs.mlflow(settings.paths), settings, None, say)


def _prefect_caller(settings: Settings, address: str) -> dict[str, str]:
    return {**base_environment(settings), **prefect_environment(settings.paths, address)}


def _deployed(prefect: str, say: Callable[[str], None]) -> set[str]:
    """Names of the deployments that Prefect has."""
    with waiting_for("Prefect to list its deployments", ANSWER_SECONDS, say):
        return {deployment["name"] for deployment in _all(prefect, "deployments")}


def _worker_known(prefect: str) -> bool:
    """Whether Prefect has heard of an online worker of our pool."""
    try:
        workers = _all(prefect, f"work_pools/{POOL}/workers")
    except ModelyardError:
        return False
    return any(worker["status"] == "ONLINE" for worker in workers)


def _all(prefect: str, kind: str) -> list[dict[str, Any]]:
    """What a Prefect server has of a kind.

    Raises:
        ModelyardError: it doesn't answer, or has no such kind.
    """
    url = f"{prefect}/api/{kind}/filter"
    try:
        answer = httpx.post(url, json={}, trust_env=False, timeout=ANSWER_SECONDS)
        found: list[dict[str, Any]] = answer.raise_for_status().json()
    except (httpx.HTTPError, ValueError) as error:
        raise ModelyardError(
            f"the Prefect server doesn't answer at {url} ({type(error).__name__}: "
            f"{first_line(error)}); `{program()} up` asks again"
        ) from error
    return found


def _view(name: str, attached: Attached) -> ServiceView:
    address = attached.service.address
    return ServiceView(
        name=name,
        title=_TITLES[name],
        address=address or f"takes the runs of work pool {POOL}",
        started=attached.started,
    )


_TITLES = {
    "server": "Modelyard server",
    "prefect": "Prefect server",
    WORKER: "Prefect worker",
    "mlflow": "MLflow UI",
}
