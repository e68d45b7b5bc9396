"""The end of a server's log as it is shown when the server doesn't come up."""

from __future__ import annotations

import json
from pathlib import Path

from modelyard.cli.servers import LINE_LENGTH, log_tail
from modelyard.settings import Paths


def test_the_end_of_a_log_is_readable(tmp_path: Path) -> None:
    """Records are time, level and message; other lines stay; a very long one is cut."""
    paths = Paths(tmp_path)
    paths.logs.mkdir()
    record = {"at": "12:00", "level": "error", "message": "it is locked", "traceback": "x" * 9000}
    lines = ["forgotten", json.dumps(record), "plain", "y" * 1000]
    paths.log("server").write_text("\n".join(lines))

    assert log_tail("server", paths, lines=3).splitlines()[1:] == [
        f"The end of {paths.log('server')}:",
        "  12:00 error it is locked",
        "  plain",
        f"  {'y' * LINE_LENGTH}…",
    ]


def test_no_log_no_tail(tmp_path: Path) -> None:
    """A server that never wrote anything adds nothing to the message."""
    assert log_tail("server", Paths(tmp_path)) == ""
