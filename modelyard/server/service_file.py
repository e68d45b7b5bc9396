"""The service file of this server: written once it answers, removed when it ends."""

from __future__ import annotations

import json
import os
from dataclasses import asdict

import psutil

from modelyard.local import services
from modelyard.local.services import MARK, Service
from modelyard.settings import Paths

NAME = "server"


def own(paths: Paths) -> Service | None:
    """What whoever started this process wrote of it; None when it was started by hand."""
    found = services.running(NAME, paths)
    return found if found is not None and found.process == os.getpid() else None


def write(paths: Paths, *, address: str, run: str | None) -> None:
    """Say where this process answers."""
    service = Service(
        name=NAME,
        process=os.getpid(),
        started=psutil.Process().create_time(),
        address=address,
        run=run,
        mark=os.environ.get(MARK, ""),
    )
    temporary = paths.service(NAME).with_suffix(f".{os.getpid()}.tmp")
    temporary.write_text(json.dumps(asdict(service)))
    os.replace(temporary, paths.service(NAME))


def remove(paths: Paths) -> None:
    """Take the file away, if it is still this process's own."""
    if own(paths) is not None:
        paths.service(NAME).unlink(missing_ok=True)
