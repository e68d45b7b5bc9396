"""Data that other distributions bring, as ``data.source: plugin:NAME``.

The entry point of ``modelyard.datasets`` is a function that is given a folder of its own, which
stays, and gives a ``pandas.DataFrame`` or the path of a file or folder in one of the forms that
``data.source`` may name (CSV, Parquet, NPZ, a folder with a folder for each class).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from modelyard.data.published import set_folder
from modelyard.data.table import Table
from modelyard.errors import DataError
from modelyard.experiment.places import PLUGIN
from modelyard.plugins.groups import Group
from modelyard.plugins.loading import guarded, load


def read_plugged(name: str, read: Callable[[str, Path], Table]) -> Table:
    """All that a plugin's set holds.

    Args:
        name: of the plugin.
        read: reads a path as ``data.source``, relative to a folder.

    Raises:
        PluginError: none is installed, or it can't be used.
        DataError: what it gives can't be learnt from.
    """
    source = f"{PLUGIN}{name}"
    make = load(Group.DATASETS, name, check_dataset)
    folder = set_folder(source.replace(":", "-"))
    with guarded(f"the dataset {name}", "be made"):
        folder.mkdir(parents=True, exist_ok=True)
        given = make(folder)
    if isinstance(given, pd.DataFrame):
        return _of_frame(given, source)
    if isinstance(given, Path):
        return read(str(folder / given), folder)
    raise DataError(
        f"{source} gives a {type(given).__name__}, not a pandas.DataFrame or a pathlib.Path"
    )


def check_dataset(_name: str, thing: Any) -> Iterator[str]:
    """What breaks the contract of ``modelyard.datasets``."""
    if not callable(thing):
        yield f"a dataset is a function of a folder, not a {type(thing).__name__}"
        return
    try:
        inspect.signature(thing).bind(Path())
    except TypeError as error:
        yield f"it can't be called with one folder: {error}"


def _of_frame(frame: pd.DataFrame, title: str) -> Table:
    import pyarrow as pa

    from modelyard.data.parquet_file import of_cells

    try:
        cells = pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowException, ValueError) as error:
        raise DataError(f"{title} can't be read as a table: {error}") from error
    return of_cells(cells, title)
