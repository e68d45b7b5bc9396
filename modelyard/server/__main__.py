"""Entry of ``python -m modelyard.server``."""

import sys

from modelyard.server.program import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
