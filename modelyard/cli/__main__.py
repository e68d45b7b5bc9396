"""Entry of ``python -m modelyard.cli``."""

import sys

from modelyard.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
