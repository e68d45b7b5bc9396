"""The server's program as it is, which also writes down when its executor told what.

Each line of the file in ``MODELYARD_TEST_CHANGES`` is a time in seconds since 1970, a launch and
its phase.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from modelyard.executor import Change
from modelyard.k8s import ledger
from modelyard.server.program import run

VARIABLE = "MODELYARD_TEST_CHANGES"


def watch(file: Path) -> None:
    """From here on every change that a Kubernetes executor tells is written down."""
    tell, lines = ledger.Ledger.tell, file.open("a", buffering=1)

    def noted(self: ledger.Ledger, item: ledger.Told) -> None:
        if isinstance(item, Change):
            lines.write(f"{time.time():.6f} {item.job.key} {item.job.phase}\n")
        tell(self, item)

    ledger.Ledger.tell = noted  # type: ignore[method-assign]


if __name__ == "__main__":
    watch(Path(os.environ[VARIABLE]))
    run(sys.argv[1:])
