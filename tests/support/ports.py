"""Ports that are a test's own, though it starts only later who listens there."""

from __future__ import annotations

import random
import socket

CANDIDATES = range(20_000, 30_000)
"""Below those that Linux and macOS give to whoever asks for any."""

_KEPT: list[socket.socket] = []


def reserved_port(host: str = "127.0.0.1") -> int:
    """A free TCP port that no other test of this machine is given while this process lives.

    The UDP port of the same number is held as its sign: a probe that lets the port go again
    before the server binds it, seconds later perhaps, leaves it to whoever is quicker.
    """
    for port in random.Random().sample(CANDIDATES, len(CANDIDATES)):
        sign = socket.socket(type=socket.SOCK_DGRAM)
        try:
            sign.bind((host, port))
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host, port))
        except OSError:
            sign.close()
            continue
        _KEPT.append(sign)
        return port
    raise LookupError("no port is free")
