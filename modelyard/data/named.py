"""From the name of a published set to its table; each reader is imported when it is wanted."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from modelyard.data.published import set_folder
from modelyard.data.table import Table
from modelyard.errors import DataError

Reader = Callable[[str, Path], Table]

READERS = {
    "mnist": "idx:read_mnist",
    "fashion-mnist": "idx:read_mnist",
    "cifar-10": "cifar:read_cifar",
    "cifar-100": "cifar:read_cifar",
    "gtsrb": "gtsrb:read_gtsrb",
    "imdb": "imdb:read_imdb",
    "reuters": "reuters:read_reuters",
    "kepler": "exoplanets:read_exoplanets",
    "tess": "exoplanets:read_exoplanets",
    "k2": "exoplanets:read_exoplanets",
}
"""Module of this package and function that read each set."""


def read_named(name: str) -> Table:
    """All that a published set holds.

    Args:
        name: one of ``PUBLISHED``.

    Raises:
        DataError: its files aren't there, or are damaged; names the file and what to do.
    """
    module, _, function = READERS[name].partition(":")
    reader: Reader = getattr(import_module(f"modelyard.data.{module}"), function)
    try:
        return reader(name, set_folder(name))
    except OSError as error:
        raise DataError(f"{error.filename or name} can't be read: {error.strerror}") from error
