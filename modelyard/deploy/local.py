"""The local deploy target: one detached model server a model, handed over on one port.

A service ``model-<name>.<version>.<port>`` is one instance; during a handover there are two on
one port, and the kernel shares new connections out between them. A server that dies half way
leaves both recorded, and the next deploy ends the one that is not wanted.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn

import httpx

from modelyard.api import ServingView
from modelyard.deploy.example import curl, write_example
from modelyard.deploy.rollout import Instance, plan
from modelyard.errors import InputError, ModelyardError
from modelyard.local import services
from modelyard.local.ports import answers, free_port
from modelyard.local.services import Service
from modelyard.settings import Paths

HOST = "127.0.0.1"
BUSY = 503
ANSWER_SECONDS = 10.0
"""Longest wait for one answer. The first ones are short: a stranger may hold the port and keep
silent while our server has ended long since."""
PROCESS_HEADER = "X-Modelyard-Process"
PORT_ATTEMPTS = 5
"""Ports that are tried where the file says auto: another home may take one just now."""
FIRST_PORT = 8080

RETIRE_SECONDS = 15.0
"""Between SIGTERM and SIGKILL for a replaced server: it gives 2 s to a request that is yet to come
and 10 s to those in flight."""

_SERVICE = re.compile(r"model-(?P<name>.+)\.(?P<version>\d+)\.(?P<port>\d+)")
_KEPT_BACK = frozenset({"MODELYARD_TOKEN", services.MARK})


@dataclass(frozen=True, kw_only=True)
class _Wanted:
    """What is to serve, and what its process needs."""

    name: str
    version: int
    model_folder: Path
    example: Path
    run: str | None
    paths: Paths
    deadline_seconds: float


def deploy(
    name: str,
    version: int,
    model_folder: Path,
    *,
    port: int | Literal["auto"],
    paths: Paths,
    run: str | None = None,
    deadline_seconds: float = 300.0,
) -> ServingView:
    """Make this version the one that serves; blocks until it answers. Repeating changes nothing.

    What runs of this model keeps serving until the new version answered a real prediction, and
    ends only then; when the new one fails, it stays. With ``port`` auto the new version takes
    the port of the old; without an old one the next free from 8080.

    Args:
        name: of the model.
        version: its number in the registry.
        model_folder: of ``registry.versions.version_folder``; holds ``example.json``.
        port: where to serve.
        paths: of the home.
        run: id of the ``modelyard run`` that starts it, None for one that stays.
        deadline_seconds: how long the new server may take until it answers.

    Raises:
        InputError: the port is taken by somebody else.
        ModelyardError: the new server failed; carries the tail of its log.
    """
    with services.lock(f"model-{name}", paths):
        wanted = _Wanted(
            name=name,
            version=version,
            model_folder=model_folder,
            example=write_example(model_folder, paths.models / name),
            run=run,
            paths=paths,
            deadline_seconds=deadline_seconds,
        )
        return _view(_roll_out(wanted, port), paths)


def servings(paths: Paths) -> list[ServingView]:
    """The model servers that run, by name."""
    running = [s for s in services.recorded(paths) if _SERVICE.fullmatch(s.name)]
    return [_view(service, paths) for service in running if services.alive(service)]


def _roll_out(wanted: _Wanted, port: int | Literal["auto"]) -> Service:
    """The server of the wanted version, once it serves and every other has ended."""
    found = _instances(wanted.name, wanted.paths)
    rollout = plan(list(found.values()), version=wanted.version, port=port)
    _end(rollout.clear, found, wanted.paths)
    if rollout.keep is not None:
        service = next(s for s, i in found.items() if i is rollout.keep)
    elif rollout.port is not None:
        service = _serve(wanted, rollout.port, rollout.take_over)
    else:
        service = _serve_somewhere(wanted)
    _end(rollout.retire, found, wanted.paths)
    return service


def _instances(name: str, paths: Paths) -> dict[Service, Instance]:
    """The living servers of one model."""
    found: dict[Service, Instance] = {}
    for service in services.recorded(paths):
        match = _SERVICE.fullmatch(service.name)
        if match and match["name"] == name and services.alive(service):
            found[service] = Instance(
                service=service.name,
                version=int(match["version"]),
                port=int(match["port"]),
                process=service.process,
                well=answers(f"{service.address}/readyz"),
            )
    return found


def _end(instances: Sequence[Instance], found: dict[Service, Instance], paths: Paths) -> None:
    chosen = [service for service, instance in found.items() if instance in instances]
    services.end(chosen, paths, grace_seconds=RETIRE_SECONDS)


def _serve_somewhere(wanted: _Wanted) -> Service:
    """The new server on the first port from 8080 that can be had."""
    port = FIRST_PORT
    for _ in range(PORT_ATTEMPTS):
        port = free_port(port, HOST)
        with suppress(InputError):
            return _serve(wanted, port)
        port += 1
    return _serve(wanted, free_port(port, HOST))


def _serve(wanted: _Wanted, port: int, take_over: Sequence[Instance] = ()) -> Service:
    """Start the new server and prove that it serves."""
    paths = wanted.paths
    holders = [argument for i in take_over for argument in ("--take-over", str(i.process))]
    argv = [
        *(sys.executable, "-P", "-m", "modelyard.serve", "--model", str(wanted.model_folder)),
        *("--name", wanted.name, "--version", str(wanted.version)),
        *("--host", HOST, "--port", str(port), *holders),
    ]
    name = f"model-{wanted.name}.{wanted.version}.{port}"
    paths.log(name).unlink(missing_ok=True)
    service = services.start(
        name,
        argv,
        env={key: value for key, value in os.environ.items() if key not in _KEPT_BACK},
        address=f"http://{HOST}:{port}",
        run=wanted.run,
        paths=paths,
    )
    # Plain HTTP on this machine: no proxy, and no certificates to load.
    with httpx.Client(trust_env=False, verify=False) as client:
        _prove(service, wanted, client)
    return service


def _prove(service: Service, wanted: _Wanted, client: httpx.Client) -> None:
    """Wait until the new server itself answered the example; end it when it doesn't.

    A connection may reach the server that is to be replaced, hence the look at the process; the
    new one listens only once its model is loaded.
    """
    deadline = time.monotonic() + wanted.deadline_seconds
    body = wanted.example.read_bytes()
    patience = 0.5
    while True:
        alive = services.alive(service)
        answer = _ask(client, service.address, body, patience)
        mine = answer is not None and answer.headers.get(PROCESS_HEADER) == str(service.process)
        if alive and answer is not None and mine and answer.status_code != BUSY:
            if answer.status_code == 200:
                return
            reason = f"it answered its own example with: {answer.text[:500]}"
            _give_up(service, reason, wanted.paths)
        if not alive:
            _give_up(service, "its process ended", wanted.paths)
        if time.monotonic() > deadline:
            _give_up(service, f"no answer within {wanted.deadline_seconds:g} s", wanted.paths)
        patience = min(2 * patience, ANSWER_SECONDS)
        time.sleep(0.05)


def _ask(
    client: httpx.Client, address: str, body: bytes, timeout_seconds: float
) -> httpx.Response | None:
    """One prediction over a connection of its own; None when nobody answers."""
    headers = {"Content-Type": "application/json", "Connection": "close"}
    try:
        return client.post(
            f"{address}/invocations", content=body, headers=headers, timeout=timeout_seconds
        )
    except httpx.HTTPError:
        return None


def _give_up(service: Service, reason: str, paths: Paths) -> NoReturn:
    services.end([service], paths)
    tail = _tail(paths.log(service.name))
    if "error: port" in tail:
        raise InputError(tail.rpartition("error: ")[2])
    raise ModelyardError(f"{service.name} doesn't serve: {reason}. Its log ends:\n{tail}")


def _tail(log: Path, lines: int = 40) -> str:
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return "(no log)"


def _view(service: Service, paths: Paths) -> ServingView:
    match = _SERVICE.fullmatch(service.name)
    assert match is not None  # only such services get here
    return ServingView(
        name=match["name"],
        version=int(match["version"]),
        address=service.address,
        process=service.process,
        example=curl(service.address, paths.models / match["name"] / "example.json"),
    )
