"""A small HTTP proxy before a store that does to its requests what a test says."""

from __future__ import annotations

import http.client
import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import urlsplit

Fault = Literal["", "503", "cut", "flip", "hold"]
"""Pass on; answer 503; send half of the answer and hang up; change its last byte; wait until
``released`` is set before passing on."""

BUSY = b"<?xml version='1.0'?><Error><Code>ServiceUnavailable</Code></Error>"


@dataclass
class FaultProxy:
    """The proxy's address, and what it does.

    Args:
        choose: the fault for a request, by its number from 0, method and path.
        seen: method and path of each request, in the order of their arrival.
        held: set once a request is being held.
    """

    address: str
    choose: Callable[[int, str, str], Fault] = lambda _number, _method, _path: ""
    seen: list[tuple[str, str]] = field(default_factory=list)
    held: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)


@contextmanager
def proxied(endpoint: str) -> Iterator[FaultProxy]:
    """A proxy before an endpoint until the block ends; it passes everything on at first."""
    numbers = itertools.count()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            proxy.seen.append((self.command, self.path))
            fault = proxy.choose(next(numbers), self.command, self.path)
            if fault == "503":
                self.answer(503, [("Content-Type", "application/xml")], BUSY)
                return
            if fault == "hold":
                proxy.held.set()
                proxy.released.wait(300)
            status, headers, content = self.passed_on(body)
            if fault == "flip" and content:
                content = content[:-1] + bytes([content[-1] ^ 1])
            with suppress(OSError):  # who asked may have gone
                self.answer(status, headers, content, cut=fault == "cut")

        do_PUT = do_POST = do_DELETE = do_HEAD = do_GET

        def passed_on(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
            behind = http.client.HTTPConnection(urlsplit(endpoint).netloc, timeout=60)
            behind.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in ("connection", "expect"):
                    behind.putheader(name, value)  # Host too, which is signed
            behind.endheaders(body)
            answer = behind.getresponse()
            content = answer.read()
            behind.close()
            return answer.status, answer.getheaders(), content

        def answer(
            self, status: int, headers: list[tuple[str, str]], content: bytes, cut: bool = False
        ) -> None:
            self.send_response(status)
            for name, value in headers:
                if name.lower() not in ("content-length", "connection", "transfer-encoding"):
                    self.send_header(name, value)
            lengths = [value for name, value in headers if name.lower() == "content-length"]
            head = self.command == "HEAD" and lengths
            self.send_header("Content-Length", lengths[0] if head else str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if cut else content)
            self.close_connection = self.close_connection or cut

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    proxy = FaultProxy(address=f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield proxy
    finally:
        proxy.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
