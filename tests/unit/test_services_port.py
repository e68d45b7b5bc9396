"""A service is ready when it answers itself, not when somebody else does on its port."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from modelyard.errors import ServerUnreachable
from modelyard.local import services
from modelyard.settings import Paths
from tests.support.ports import reserved_port

SERVE = "import http.server as h; h.HTTPServer(('127.0.0.1', {port}), h.BaseHTTPRequestHandler)"
ANSWER = (
    "import http.server as h, os\n"
    "class A(h.BaseHTTPRequestHandler):\n"
    "    def do_GET(self): self.send_response(200); self.end_headers()\n"
    "    def log_message(self, *_): pass\n"
    "h.HTTPServer(('127.0.0.1', {port}), A).serve_forever()\n"
)


def start(name: str, program: str, port: int, paths: Paths) -> services.Service:
    argv = [sys.executable, "-c", program.format(port=port)]
    address = f"http://127.0.0.1:{port}"
    return services.start(name, argv, env=dict(os.environ), address=address, run=None, paths=paths)


def test_the_answer_of_another_program_on_the_port_does_not_count(tmp_path: Path) -> None:
    """While a stranger answers, a service that can't have the port is never called ready."""
    paths, port = Paths(tmp_path / "home"), reserved_port()
    try:
        stranger = start("stranger", ANSWER, port, paths)
        services.wait_ready(f"http://127.0.0.1:{port}/", 120, service=stranger)
        late = start("late", SERVE, port, paths)

        with pytest.raises(ServerUnreachable, match="late ended"):
            services.wait_ready(f"http://127.0.0.1:{port}/", 120, service=late)
    finally:
        services.stop_all(paths)
