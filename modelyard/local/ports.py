"""Ports of this machine: which are free, and where something answers."""

from __future__ import annotations

import http.client
import socket
from urllib.parse import urlsplit

from modelyard.errors import InputError


def free_port(preferred: int | None = None, host: str = "127.0.0.1") -> int:
    """A port that nobody listens on now: the preferred one, the next free of 100, or any."""
    candidates = () if preferred is None else range(preferred, min(preferred + 100, 65536))
    for port in (*candidates, 0):
        with socket.socket() as probe:
            # Ports in TIME_WAIT count as free: servers set the same option.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise InputError(f"no free port on {host}")


def answers(url: str, timeout_seconds: float = 10.0) -> bool:
    """Whether a GET of ``url`` is answered with a status below 300 just now.

    Proxies of the environment are not asked: services are on this machine.
    """
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(
        parts.hostname or "127.0.0.1", parts.port or 80, timeout=timeout_seconds
    )
    try:
        connection.request("GET", parts.path or "/")
        return connection.getresponse().status < 300
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
