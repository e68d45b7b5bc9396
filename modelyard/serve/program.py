"""The model server's process: arguments, port, model, requests, orderly end."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from modelyard.errors import InputError, ModelyardError
from modelyard.serve import sockets


def main(argv: Sequence[str] | None = None) -> int:
    """Serve one version until SIGTERM.

    Returns:
        0 after an orderly end, 1 when the model can't be loaded, 2 when the port or another
        argument can't be used.
    """
    arguments = _parser().parse_args(argv)
    # Uvicorn drains on SIGTERM, puts this handler back and raises the signal again.
    signal.signal(signal.SIGTERM, _end)
    try:
        _serve(arguments)
    except ModelyardError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return error.exit_code
    return 0


def _serve(arguments: argparse.Namespace) -> None:
    if not arguments.model.is_dir():
        raise InputError(f"--model {arguments.model} is no folder")
    bound = sockets.bind(arguments.host, arguments.port, take_over=arguments.take_over)
    # Heavy imports come after the port is sure, and after the threads are limited: torch and
    # scikit-learn read this when they are imported.
    os.environ["OMP_NUM_THREADS"] = "1"
    from modelyard.serve.app import Limits, create_app
    from modelyard.serve.listening import Server
    from modelyard.serve.model import open_model

    try:
        served = open_model(arguments.model, name=arguments.name, version=arguments.version)
    except Exception as error:
        raise ModelyardError(
            f"the model in {arguments.model} can't serve: {type(error).__name__}: {error}"
        ) from error

    def listening() -> None:
        sockets.steer_here(bound, others=len(arguments.take_over))
        address = f"http://{arguments.host}:{arguments.port}"
        print(f"{arguments.name} version {arguments.version} serves on {address}", flush=True)

    app = create_app(
        served,
        limits=Limits(rows=arguments.max_rows, body_bytes=arguments.max_body_bytes),
        draining=lambda: server.should_exit,
    )
    server = Server(app, listening)
    server.run(sockets=[bound])


def _end(signum: int, frame: FrameType | None) -> None:
    del signum, frame
    raise SystemExit(0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m modelyard.serve", description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="folder of the packed model")
    parser.add_argument("--name", required=True, help="the model's name")
    parser.add_argument("--version", type=int, required=True, help="its number in the registry")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=_port, required=True)
    parser.add_argument("--max-rows", type=int, default=10_000, help="most rows of a request")
    parser.add_argument("--max-body-bytes", type=int, default=16 * 1024 * 1024)
    parser.add_argument(
        "--take-over",
        type=int,
        action="append",
        default=[],
        metavar="PID",
        help="a model server that may hold the port, because this one replaces it",
    )
    return parser


def _port(text: str) -> int:
    port = int(text)
    if not 1 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{port} is no port; a port is from 1 to 65535")
    return port
