"""``make bench``: every figure, its peers in the same run, written to ``docs/benchmarks.md``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from bench import event_latency, startup, sweep, training_loop
from bench.table import Row, machine, markdown

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
HEAD, FOOT = "<!-- figures: begin -->", "<!-- figures: end -->"
PARTS: dict[str, Callable[[], list[Row]]] = {
    "sweep": sweep.rows,
    "startup": startup.rows,
    "events": event_latency.rows,
    "training": training_loop.rows,
}


def main(names: list[str]) -> int:
    """Measure the named parts, all of them without a name, and print the table.

    The page is written only when all parts were measured in this run.
    """
    if unknown := [name for name in names if name not in PARTS]:
        print(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    rows: list[Row] = []
    for name in names or PARTS:
        print(f"measuring {name} …", file=sys.stderr, flush=True)
        rows += PARTS[name]()
    table = f"{machine()}\n\n{markdown(rows)}"
    print(table)
    if not names:
        before, _, rest = PAGE.read_text().partition(HEAD)
        PAGE.write_text(f"{before}{HEAD}\n{table}\n{FOOT}{rest.partition(FOOT)[2]}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
