"""``make bench``: every figure, its peers in the same run, written to ``docs/benchmarks.md``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path

from bench import auto, cluster, event_latency, health_aware, startup, sweep, training_loop
from bench.table import Row, machine, markdown

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
TABLES: dict[str, Mapping[str, Callable[[], list[Row]]]] = {
    "figures": {
        "sweep": sweep.rows,
        "startup": startup.rows,
        "events": event_latency.rows,
        "training": training_loop.rows,
        "auto": auto.rows,
    },
    "health figures": {"health": health_aware.rows},
    "cluster figures": {"cluster": cluster.rows},
}
"""The tables of the page by their marks, each with its parts."""


def main(names: list[str]) -> int:
    """Measure the named parts, all of them without a name, and print their tables.

    A table of the page is written only when all of its parts were measured in this run.
    """
    known = [name for parts in TABLES.values() for name in parts]
    if unknown := [name for name in names if name not in known]:
        print(f"no such part: {', '.join(unknown)}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    for mark, parts in TABLES.items():
        wanted = [name for name in parts if name in (names or known)]
        rows: list[Row] = []
        for name in wanted:
            print(f"measuring {name} …", file=sys.stderr, flush=True)
            rows += parts[name]()
        if rows:
            table = f"{date.today():%-d %B %Y}. {machine()}\n\n{markdown(rows)}"
            print(table)
            if len(wanted) == len(parts):
                _write(mark, table)
    return 0


def _write(mark: str, table: str) -> None:
    head, foot = f"<!-- {mark}: begin -->", f"<!-- {mark}: end -->"
    before, _, rest = PAGE.read_text().partition(head)
    PAGE.write_text(f"{before}{head}\n{table}\n{foot}{rest.partition(foot)[2]}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
