"""Entry of ``python -m modelyard.serve``."""

from modelyard.serve.program import main

if __name__ == "__main__":
    raise SystemExit(main())
