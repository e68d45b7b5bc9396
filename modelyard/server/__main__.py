"""Entry of ``python -m modelyard.server``."""

import sys

from modelyard.server.program import run

if __name__ == "__main__":
    run(sys.argv[1:])
