"""One kept-alive connection, on which a post takes next to nothing.

A post falls between the batches of a fit, when nothing of its code is left in the caches. There
urllib3 took 0.75 ms of CPU for each, http.client 0.5, and this takes 0.2: a request is one piece of
bytes, and an answer is read by its ``Content-Length``. Any other answer is left to urllib3, which
makes the connection too.
"""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import suppress

from urllib3.connection import HTTPConnection

LIMIT_BYTES = 64 * 1024
"""Most that an answer's head may take, and that is read at once."""


class Line:
    """Posts JSON; one post at a time.

    Args:
        connection: to the server, not connected yet; nobody else's from now on.
        headers: of every post, ``Host`` among them.
        timeout_seconds: how long the server may keep silent.
    """

    def __init__(
        self, connection: HTTPConnection, headers: dict[str, str], timeout_seconds: float
    ) -> None:
        self._connection = connection
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._timeout_seconds = timeout_seconds
        self._busy = threading.Lock()
        self._closed = False

    def post(self, path: str, content: bytes) -> tuple[int, bytes] | None:
        """Post, and wait for the answer.

        Returns:
            Its status and body; None where it isn't plain, so that nobody knows what it says.

        Raises:
            OSError, urllib3.exceptions.HTTPError: no answer came.
        """
        with self._busy:
            try:
                answer, lasts = self._exchange(path, content)
            except BaseException:
                self._connection.close()
                raise
            if not lasts:
                self._connection.close()
        if self._closed:
            self.close()
        return answer

    def close(self) -> None:
        """Close the connection; during a post, once that has ended."""
        self._closed = True
        if self._busy.acquire(blocking=False):
            self._connection.close()
            self._busy.release()

    def _exchange(self, path: str, content: bytes) -> tuple[tuple[int, bytes] | None, bool]:
        """The answer, and whether the connection lasts."""
        sock = self._connected()
        head = f"POST {path} HTTP/1.1\r\n{self._headers}Content-Length: {len(content)}\r\n\r\n"
        # Who refuses a batch by its size may hang up before all of it is sent.
        with suppress(BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
            sock.sendall(head.encode("latin-1") + content)
        found = b""
        while (end := found.find(b"\r\n\r\n")) < 0:
            if len(found) > LIMIT_BYTES:
                return None, False
            found += _more(sock)
        plain = _plain(found[:end])
        if plain is None:
            return None, False
        status, length, lasts = plain
        body = found[end + 4 :]
        while len(body) < length:
            body += _more(sock)
        return (status, body[:length]), lasts and len(body) == length

    def _connected(self) -> socket.socket:
        connection = self._connection
        if not connection.is_connected:  # never yet, or the server has hung up meanwhile
            connection.close()
            connection.connect()
            connection.sock.settimeout(self._timeout_seconds)
        sock: socket.socket = connection.sock
        return sock


def _more(sock: socket.socket) -> bytes:
    found = sock.recv(LIMIT_BYTES)
    if not found:
        raise ConnectionResetError("the server hung up within its answer")
    return found


def _plain(head: bytes) -> tuple[int, int, bool] | None:
    """Status, length of the body in bytes, and whether the connection lasts; None where the body
    doesn't simply follow, or is coded."""
    first, *lines = head.lower().split(b"\r\n")
    version, _, status = first.partition(b" ")
    fields = {name: value.strip() for name, _, value in (line.partition(b":") for line in lines)}
    length = fields.get(b"content-length", b"")
    digits = status[:3].isdigit() and length.isdigit() and len(length) < 10
    coded = b"transfer-encoding" in fields or b"content-encoding" in fields
    if version != b"http/1.1" or not digits or coded:
        return None
    return int(status[:3]), int(length), fields.get(b"connection") != b"close"
