"""``python -m modelyard.serve``."""

from modelyard.serve.program import main

raise SystemExit(main())
