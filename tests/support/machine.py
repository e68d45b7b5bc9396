"""What tests do to the machine: take its ports, and give it a small disk."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def taken(*ports: int) -> Iterator[list[int]]:
    """Listen on ports; gives those on which nobody else does already. 0 is any."""
    sockets = [socket.socket() for _ in ports]
    try:
        yield [
            one.getsockname()[1]
            for one, port in zip(sockets, ports, strict=True)
            if _has(one, port)
        ]
    finally:
        for one in sockets:
            one.close()


def _has(one: socket.socket, port: int) -> bool:
    # A port in TIME_WAIT counts as free for the servers, too.
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        one.bind(("127.0.0.1", port))
        one.listen()
    except OSError:
        return False
    return True


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Callable[[str], object]]:
    """A file system of so many bytes over a folder; gives what makes it larger."""
    mount = shutil.which("mount")
    folder.mkdir(parents=True, exist_ok=True)
    command = [str(mount), "-t", "tmpfs", "-o", f"size={size}", "modelyard", str(folder)]
    if mount is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("a small file system can be mounted by root on Linux only")
    try:
        yield lambda larger: subprocess.run(
            [mount, "-o", f"remount,size={larger}", str(folder)], check=True
        )
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
