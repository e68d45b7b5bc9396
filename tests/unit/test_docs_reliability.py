"""The page about faults names tests that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reliability.md"

NAMED = re.findall(r"`([\w/]+\.py)::(\w+)`", PAGE.read_text())


def test_every_row_names_a_test() -> None:
    """A row of a table without a test is a promise that nobody keeps."""
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    headings = [row for row in rows if row.endswith("| shown by |")]

    assert len(headings) == 6
    assert len(NAMED) == len(rows) - len(headings)


@pytest.mark.parametrize(("file", "test"), sorted(set(NAMED)))
def test_a_named_test_exists(file: str, test: str) -> None:
    """File and function are where the page says."""
    assert f"def {test}(" in (ROOT / "tests" / file).read_text()
