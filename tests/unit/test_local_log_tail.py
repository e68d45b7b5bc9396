"""What is kept of a log that grows over many starts."""

from __future__ import annotations

from pathlib import Path

from modelyard.local.launched import tail
from modelyard.trial.termination import LIMIT_BYTES


def test_the_tail_begins_where_the_last_start_did(tmp_path: Path) -> None:
    """What an earlier start died of isn't told again, and what is long is cut at its front."""
    log = tmp_path / "forkserver.log"
    log.write_text("an old traceback\n")
    before = log.stat().st_size
    with log.open("a") as file:
        file.write("a new one\n")
    long = tmp_path / "long.log"
    long.write_text("x" * LIMIT_BYTES + "the end")

    assert tail(log, after=before) == "a new one\n"
    assert tail(log) == "an old traceback\na new one\n"
    assert (len(tail(long)), tail(long)[-7:]) == (LIMIT_BYTES, "the end")
    assert tail(tmp_path / "none") == ""
