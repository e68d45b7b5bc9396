"""``python -P -m modelyard.trial``: one launch, told in environment variables."""

import os

from modelyard.trial.program import leave, main

if __name__ == "__main__":
    leave(main(os.environ))
