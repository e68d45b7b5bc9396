"""Our server with trials that sleep: ``python -m bench.sleeping_server --home DIR``.

Two cores can't train eight networks at once, so what is measured is everything but training:
sampling, launching, events, results, telling. Only the fit is replaced.
"""

import sys

from modelyard.local import link
from modelyard.server.program import run

if __name__ == "__main__":
    link.PROGRAM = "bench.sleeping_forkserver"
    run(sys.argv[1:])
