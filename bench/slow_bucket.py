"""A far bucket that is slow: ``python -m bench.slow_bucket SECONDS`` prints its address.

It answers what a trial's store asks of our server and of a bucket, and keeps nothing. Each
checkpoint takes so many seconds to arrive.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from modelyard.store.presigned import WriteAnswer, WriteBody, WriteFile
from modelyard.train.checkpoint import TENSORS

BASE = "s3://far"


@contextmanager
def slow_bucket(seconds: float) -> Iterator[str]:
    """One in a process of its own; its address."""
    argv = [sys.executable, "-m", "bench.slow_bucket", str(seconds)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def main(seconds: float) -> None:
    """Answer for ever."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            self._answer(_urls(address, content) if self.path.endswith("/write") else b"")

        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            if self.path.endswith(TENSORS):
                time.sleep(seconds)
            self._answer(b"")

        def _answer(self, content: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    address = f"http://127.0.0.1:{server.server_port}"
    print(address, flush=True)
    server.serve_forever()


def _urls(address: str, asked: bytes) -> bytes:
    manifest = WriteBody.model_validate_json(asked).manifest
    files = {
        name: WriteFile(urls=(f"{address}/{name}",), part_bytes=entry.bytes)
        for name, entry in manifest.items()
    }
    return WriteAnswer(files=files).model_dump_json().encode()


if __name__ == "__main__":
    main(float(sys.argv[1]))
