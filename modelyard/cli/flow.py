"""The Prefect flow of a local run, as a child process that is started again when it dies."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping

from modelyard.settings import Paths

FORGIVEN_SECONDS = 2.0
"""Between the flow's orderly end and the sweep's end as the server tells it."""


class FlowChild:
    """One flow process at a time. Its standard input is a pipe that only we hold: it closes with
    us, whatever ends us, and the child ends with it.

    Args:
        sweep: id of the sweep.
        after: flow run of an earlier run of this sweep, not to be used again.
        paths: its output goes to the log ``flow-<sweep>``.
    """

    def __init__(self, sweep: str, *, after: str | None, paths: Paths) -> None:
        self._argv = [sys.executable, "-P", "-m", "modelyard.flows.child", sweep]
        self._argv += [] if after is None else ["--after", after]
        self.log_name = f"flow-{sweep}"
        self._log = paths.log(self.log_name)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, environment: Mapping[str, str]) -> None:
        """Start it, ending the one before where that still lives.

        It gets a session of its own: Ctrl-C of the terminal is ours to handle.

        Args:
            environment: of the child, whole; names the Prefect server.
        """
        self.wait(0.0)
        with open(self._log, "ab") as log:
            self._process = subprocess.Popen(
                self._argv,
                env=dict(environment),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def running(self) -> bool:
        """Whether it was started and lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """How it ended; negative for a signal; None while it lives or before it is started."""
        return None if self._process is None else self._process.poll()

    def ask_to_end(self) -> None:
        """SIGTERM: it stops following, and the flow run says so."""
        if self._process is not None and self.running:
            self._process.terminate()

    def wait(self, seconds: float) -> None:
        """Let it end by itself for so long, then kill it."""
        if self._process is None:
            return
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        finally:
            if self._process.stdin is not None:
                self._process.stdin.close()
