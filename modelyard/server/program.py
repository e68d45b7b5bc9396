"""The server's command line."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from modelyard.errors import ModelyardError
from modelyard.server import lifecycle, logs
from modelyard.settings import Settings

LOG = logging.getLogger(__name__)

SWITCH_SECONDS = 0.0001
"""How long a busy thread may keep the interpreter from others. An event goes through four hand
overs between threads, and each statement of SQLite gives the interpreter away: while MLflow is
written to, every one of some twenty would wait Python's 5 ms."""


def run(arguments: Sequence[str]) -> NoReturn:
    """Run the server and leave the process at once.

    All it knows is committed by then. The interpreter's own way out would wait for what its
    threads are in the middle of, such as an import of MLflow, for seconds.
    """
    code = main(arguments)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main(arguments: Sequence[str]) -> int:
    """Run the server of a home until it is told to end.

    Returns:
        The exit code: 0 when it ended in good order, 2 for a home or port that can't be used,
        1 when another server holds the home or takes it over.
    """
    given = _parser().parse_args(arguments)
    sys.setswitchinterval(SWITCH_SECONDS)
    logs.configure()
    settings = Settings() if given.home is None else Settings(home=given.home)
    try:
        asyncio.run(lifecycle.serve(settings, port=given.port, run=given.run))
    except ModelyardError as error:
        LOG.critical("%s", error)
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m modelyard.server", description="The server of one Modelyard home."
    )
    parser.add_argument("--home", type=Path, help="folder of the installation")
    parser.add_argument("--port", type=int, help="port to listen on; else the next free from 4300")
    parser.add_argument("--run", help="id of the run that this server lives and dies with")
    return parser
