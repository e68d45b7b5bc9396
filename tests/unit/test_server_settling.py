"""What is loaded once isn't walked over again and again."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from modelyard.server.settling import settle


@pytest.fixture(autouse=True)
def unfrozen() -> Iterator[None]:
    """The collector as it was."""
    yield
    gc.unfreeze()


def test_the_collector_leaves_alone_what_was_loaded() -> None:
    """What a load made isn't looked at any more; one that fails keeps no other from it."""
    made: list[list[str]] = []

    def fails() -> None:
        raise RuntimeError("not there")

    settle(fails, lambda: made.append(["loaded"]))

    assert made == [["loaded"]]
    assert gc.get_freeze_count() > 0
    assert not any(thing is made for thing in gc.get_objects())
