"""A real HTTP intake for tests: serves documents, records batches, answers as it is told."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from modelyard.contract import Batch, Body, Document, Event, LaunchKey, Reply, Stop


class Intake:
    """What the server's intake does of the contract, in memory.

    ``status`` is the answer to every request while it is not 200. ``replies`` may hold, by
    launch, the stop to send. ``wait_for`` blocks until something was recorded.
    """

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.status = 200
        self.token: str | None = None
        self.interval_seconds = 0.0
        self.stops: dict[str, Stop] = {}
        self.fenced: set[str] = set()
        self.documents: dict[str, Document] = {}
        self.batches: dict[str, list[Batch]] = defaultdict(list)
        self._changed = threading.Condition()
        self._server = ThreadingHTTPServer((host, 0), _handler(self))
        self._server.daemon_threads = True
        self.address = f"http://{host}:{self._server.server_port}"

    def add(self, document: Document) -> str:
        """Serve a document; returns its digest."""
        self.documents[document.digest] = document
        return document.digest

    def events(self, key: LaunchKey | str) -> list[Event]:
        """A launch's events, each once, in order."""
        with self._changed:
            found = {e.sequence: e for b in self.batches[str(key)] for e in b.events}
        return [found[number] for number in sorted(found)]

    def bodies(self, key: LaunchKey | str, kind: str) -> list[Body]:
        """The bodies of one kind of event."""
        return [e.body for e in self.events(key) if e.body.kind == kind]

    def wait_for(self, condition: Callable[[], bool], seconds: float = 300.0) -> None:
        """Wait until the condition holds; it is looked at after each batch."""
        with self._changed:
            if not self._changed.wait_for(condition, seconds):
                seen = {key: len(batches) for key, batches in self.batches.items()}
                raise AssertionError(f"not within {seconds} s; batches so far: {seen}")

    def record(self, key: str, batch: Batch) -> Reply:
        """Store a batch, as if posted."""
        with self._changed:
            self.batches[key].append(batch)
            self._changed.notify_all()
        return Reply(
            accepted=batch.events[-1].sequence,
            stop=self.stops.get(key),
            interval_seconds=self.interval_seconds,
        )

    def serve(self) -> None:
        """Answer until ``shutdown``."""
        self._server.serve_forever(poll_interval=0.02)

    def shutdown(self) -> None:
        """Stop answering, and free the port."""
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def running_intake(host: str = "127.0.0.1") -> Iterator[Intake]:
    """An intake on a free port of this machine."""
    intake = Intake(host)
    thread = threading.Thread(target=intake.serve, name="intake")
    thread.start()
    try:
        yield intake
    finally:
        intake.shutdown()
        thread.join()


def _handler(intake: Intake) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def handle(self) -> None:
            # A killed trial resets its connection; that is what tests do to trials.
            with suppress(ConnectionError):
                super().handle()

        def do_GET(self) -> None:
            document = intake.documents.get(self.path.removeprefix("/v1/documents/"))
            if not self._refused():
                if document is None:
                    self._answer(404, json.dumps({"error": "no such document"}))
                else:
                    self._answer(200, document.model_dump_json())

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            key = "-".join(self.path.split("/")[3:6])
            if self._refused():
                return
            if key in intake.fenced:
                self._answer(409, json.dumps({"error": "a newer launch exists"}))
                return
            reply = intake.record(key, Batch.model_validate_json(content))
            self._answer(200, reply.model_dump_json())

        def _refused(self) -> bool:
            status = intake.status
            if intake.token and self.headers["Authorization"] != f"Bearer {intake.token}":
                status = 401
            if status != 200:
                self._answer(status, json.dumps({"error": f"told to answer {status}"}))
            return status != 200

        def _answer(self, status: int, text: str) -> None:
            content = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    return Handler
