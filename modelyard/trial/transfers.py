"""Bytes to and from signed URLs, tried again while the bucket is away. Nothing prints a URL."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterator

import httpx

from modelyard.errors import ServerUnreachable
from modelyard.store.copies import Broken
from modelyard.trial.intake import Backoff

PASSING = frozenset({408, 425, 429})
CHUNK_BYTES = 1 << 20
TIMEOUT = httpx.Timeout(30.0, connect=5.0)

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For http:// addresses, which need none: making one takes 20 ms, and it can be shared."""


class UrlRefused(Exception):
    """The bucket doesn't take the URL (any more): it has to be asked for anew."""


class Transfers:
    """Reads and writes of one process; safe for several threads.

    Args:
        patience_seconds: how long to try again while the bucket is away.
    """

    def __init__(self, *, patience_seconds: float) -> None:
        self._patience = patience_seconds
        self._making = threading.Lock()
        self._clients: dict[bool, httpx.Client] = {}

    def close(self) -> None:
        """Free the connections."""
        with self._making:
            for client in self._clients.values():
                client.close()

    def put(self, url: str, content: bytes, what: str) -> str:
        """Write an object or a part; its ETag.

        Args:
            what: its name, for messages.

        Raises:
            UrlRefused: the URL isn't good.
            ServerUnreachable: the bucket stayed away.
        """
        deadline, backoff = time.monotonic() + self._patience, Backoff()
        while True:
            try:
                answer = self._client(url).put(url, content=content)
            except httpx.TransportError as error:
                said = type(error).__name__
            else:
                if answer.is_success:
                    return str(answer.headers.get("etag", ""))
                if not _is_passing(answer.status_code):
                    raise UrlRefused(_refusal(answer, what))
                said = f"it answers {answer.status_code}"
            if time.monotonic() >= deadline:
                raise ServerUnreachable(
                    f"the bucket takes no {what} for {self._patience:g} s: {said}"
                )
            threading.Event().wait(backoff.next_seconds())

    def read(self, url: str, start: int, what: str) -> Iterator[bytes]:
        """The bytes of an object from an offset on.

        Raises:
            FileNotFoundError: there is no such object.
            UrlRefused: the URL isn't good.
            Broken: the bucket doesn't answer, or stops to.
        """
        headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={start}-"} if start else {})}
        try:
            with self._client(url).stream("GET", url, headers=headers) as answer:
                if answer.status_code == httpx.codes.NOT_FOUND:
                    raise FileNotFoundError(f"there is no {what}")
                if answer.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                    return  # it is shorter than it was; the digest says so
                if _is_passing(answer.status_code):
                    raise Broken(f"the bucket answers {answer.status_code} for {what}")
                if answer.status_code != (206 if start else 200):
                    answer.read()
                    raise UrlRefused(_refusal(answer, what))
                yield from answer.iter_raw(CHUNK_BYTES)
        except httpx.TransportError as error:
            raise Broken(f"reading {what} broke off ({type(error).__name__})") from None

    def _client(self, url: str) -> httpx.Client:
        secure = url.startswith("https://")
        with self._making:
            if secure not in self._clients:
                # Proxies and certificates of the environment count here, as for any program.
                verify = True if secure else NO_TLS
                self._clients[secure] = httpx.Client(timeout=TIMEOUT, verify=verify)
            return self._clients[secure]


def _is_passing(status: int) -> bool:
    return status >= 500 or status in PASSING


def _refusal(answer: httpx.Response, what: str) -> str:
    code = answer.text.partition("<Code>")[2].partition("</Code>")[0]
    return f"the bucket answers {answer.status_code} {code} for {what}"
