"""A cluster's server at the wire, as a client on a laptop meets it: scripted, with a key."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from modelyard.api import Desired, LogLine, LogPage, SweepState, SweepView
from modelyard.contract import Document
from modelyard.experiment.model import Experiment

KEY = "key-of-the-installation"
SWEEP = "abcdefgh"
EXPERIMENT = Experiment.model_validate({"name": "iris", "data": {"source": "sklearn:iris"}})
DOCUMENT = Document(experiment=EXPERIMENT.to_document(), store="s3://x")


def view(state: SweepState = SweepState.RUNNING, **more: Any) -> SweepView:
    """A sweep as the server sends it."""
    return SweepView(
        id=SWEEP,
        name="iris",
        project="default",
        state=state,
        desired=Desired.RUNNING,
        created_at=0.0,
        total=20,
        document=DOCUMENT.digest,
        **more,
    )


@dataclass(kw_only=True)
class ClusterWire:
    """One sweep's server.

    Args:
        views: what it answers to each look at the sweep, the last one for ever.
        known: the sweep is there before anybody asks for one.
        document: what it was made from.
        on_look: called before each look at the sweep is answered.
        asked: method and path of each request.
        bodies: JSON bodies of the posts, by path.
        uploads: bytes by path.
        address: where it answers.
    """

    views: list[SweepView] = field(default_factory=lambda: [view(SweepState.COMPLETE)])
    known: bool = True
    document: Document = DOCUMENT
    on_look: Callable[[], None] = lambda: None
    asked: list[str] = field(default_factory=list)
    bodies: dict[str, Any] = field(default_factory=dict)
    uploads: dict[str, bytes] = field(default_factory=dict)
    lines: list[LogLine] = field(default_factory=list)
    address: str = ""

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        """Status and JSON for a request."""
        asked = f"{method} {path}"
        self.asked.append(asked)
        if path.startswith("/v1/uploads/"):
            if method == "PUT":
                self.uploads[path] = body
            return (204, None) if path in self.uploads else (404, {"error": "not there"})
        if method == "POST":
            self.bodies[path] = json.loads(body) if body else None
        match asked:
            case "GET /readyz":
                return 200, {"status": "ok", "version": "0", "epoch": 1}
            case "POST /v1/runs":
                self.known = True
                return 200, view()
            case "POST /v1/runs/abcdefgh/continue" | "POST /v1/sweeps/abcdefgh/cancel":
                return 200, view()
            case "GET /v1/sweeps/abcdefgh/trials" | "GET /v1/models/iris" | "GET /v1/servings":
                return 200, []
            case "GET /v1/sweeps":
                return 200, []
        if path.startswith(f"/v1/sweeps/{SWEEP}/logs?after="):
            after = int(path.rpartition("=")[2])
            return 200, LogPage(lines=tuple(self.lines[after:]), cursor=len(self.lines))
        if path.startswith("/v1/documents/"):
            return 200, self.document
        if path in ("/v1/sweeps/abcdefgh", "/v1/sweeps/iris", "/v1/sweeps/newest") and self.known:
            if path.endswith(SWEEP):
                self.on_look()
            return 200, self.views.pop(0) if len(self.views) > 1 else self.views[0]
        return 404, {"error": f"there is no {asked}"}


@contextmanager
def served(wire: ClusterWire) -> Iterator[ClusterWire]:
    """The wire behind an address of this machine, open to whoever shows the key."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def reply(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if "chunked" in self.headers.get("Transfer-Encoding", ""):
                body = self._chunks()
            if self.path != "/readyz" and self.headers.get("Authorization") != f"Bearer {KEY}":
                status, content = 401, {"error": "no"}
            else:
                status, content = wire.answer(self.command, self.path, body)
            text = content.model_dump_json() if hasattr(content, "model_dump_json") else None
            sent = b"" if content is None else (text or json.dumps(content)).encode()
            self.send_response(status)
            self.send_header("ETag", f'"1-{len(wire.asked)}"')
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            if self.command != "HEAD":
                with suppress(ConnectionError):  # whoever was interrupted has gone
                    self.wfile.write(sent)

        do_GET = do_POST = do_PUT = do_HEAD = reply

        def _chunks(self) -> bytes:
            found = b""
            while size := int(self.rfile.readline(), 16):
                found += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return found

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    wire.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield wire
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
