"""Distances: plugins that models compare rows by. Modelyard has none of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, TypeAlias, cast

import numpy as np

from modelyard.plugins.groups import Group
from modelyard.plugins.loading import load

Array: TypeAlias = "np.ndarray[Any, np.dtype[Any]]"


class Distance(Protocol):
    """The contract: how far each row of one table lies from each of another."""

    def __call__(self, left: Array, right: Array, /) -> Array:
        """(n, features) and (m, features) float64 → (n, m) float64, at least 0.

        A row's distance from itself is 0, and left and right may change places.
        """
        ...


_TRIED = np.array([[1.0, 2.0, 3.0], [0.0, -1.0, 4.0]])
_AGAINST = np.array([[1.0, 2.0, 3.0], [2.0, 2.0, 1.0], [5.0, 0.5, -1.0]])


def distance(name: str) -> Distance:
    """An installed distance.

    Raises:
        PluginError: none of that name, or one that can't be used.
    """
    return cast(Distance, load(Group.DISTANCES, name, check_distance))


def check_distance(_name: str, thing: Any) -> Iterator[str]:
    """What breaks the contract: it is tried on a few rows."""
    if not callable(thing):
        yield f"a distance is a function of two arrays, not {thing!r}"
        return
    found = np.asarray(thing(_TRIED.copy(), _AGAINST.copy()))
    if found.shape != (2, 3) or found.dtype.kind != "f":
        yield (
            f"rows of shape (2, 3) and (3, 3) have to give (2, 3) floats, not {found.dtype} of "
            f"shape {found.shape}"
        )
        return
    if not np.isfinite(found).all() or found.min() < -1e-9:
        yield "a distance is finite and at least 0"
    if abs(found[0, 0]) > 1e-6:
        yield f"a row's distance from itself is 0, not {found[0, 0]:g}"
    if not np.allclose(np.asarray(thing(_AGAINST.copy(), _TRIED.copy())).T, found):
        yield "left and right must be able to change places"
