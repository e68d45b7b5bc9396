"""``python -P -m modelyard.trial``: one launch, told in environment variables."""

import os
import sys

from modelyard.trial.program import main

if __name__ == "__main__":
    sys.exit(main(os.environ))
