"""Reading CIFAR-10 and CIFAR-100 from their binary version: a record an image, labels first."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from modelyard.data.published import KEPT_TEST, count_note, find_file
from modelyard.data.rows import Column
from modelyard.data.sniff import sniff
from modelyard.data.table import Table
from modelyard.errors import DataError

SIDE, CHANNELS = 32, 3
PIXELS = SIDE * SIDE * CHANNELS
PUBLISHED_ROWS = (50_000, 10_000)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How one of the two is laid out.

    Args:
        train, test: files of records.
        labels: for each label byte of a record its column, the file of its names, how many
            there are; the last one is the target.
    """

    train: tuple[str, ...]
    test: tuple[str, ...]
    labels: tuple[tuple[str, str, int], ...]


LAYOUTS = {
    "cifar-10": Layout(
        train=tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
        test=("test_batch.bin",),
        labels=(("label", "batches.meta.txt", 10),),
    ),
    "cifar-100": Layout(
        train=("train.bin",),
        test=("test.bin",),
        labels=(
            ("coarse_label", "coarse_label_names.txt", 20),
            ("fine_label", "fine_label_names.txt", 100),
        ),
    ),
}

PICKLED = ("data_batch_1", "test_batch", "batches.meta", "train", "test", "meta")
"""Files of the version for Python."""


def read_cifar(name: str, folder: Path) -> Table:
    """CIFAR-10 or CIFAR-100; of the latter the fine label is the target unless the file says.

    Raises:
        DataError: a file is not there, damaged, or of the pickled version; names it.
    """
    layout = LAYOUTS[name]
    _refuse_pickled(name, folder, layout)
    train = [_records(name, find_file(name, folder, file), layout) for file in layout.train]
    test = [_records(name, find_file(name, folder, file), layout) for file in layout.test]
    records = np.concatenate([*train, *test])
    counts = sum(map(len, train)), sum(map(len, test))
    head = len(layout.labels)
    planes = records[:, head:].reshape(-1, CHANNELS, SIDE, SIDE)
    return Table(
        title=name,
        columns={
            column: Column(
                values=records[:, index].astype(np.int32),
                missing=np.zeros(len(records), dtype=bool),
                categories=_names(name, find_file(name, folder, file), count),
            )
            for index, (column, file, count) in enumerate(layout.labels)
        },
        images=np.ascontiguousarray(np.moveaxis(planes, 1, -1)),
        target=layout.labels[-1][0],
        unlearnt=frozenset(column for column, _, _ in layout.labels),
        parts=np.repeat(np.array([0, 2], np.int8), counts),
        notes=(KEPT_TEST, *count_note(name, counts, PUBLISHED_ROWS)),
    )


def _records(name: str, path: Path, layout: Layout) -> NDArray[np.uint8]:
    """(n, label bytes and pixels) uint8."""
    width = len(layout.labels) + PIXELS
    size = path.stat().st_size
    if size == 0 or size % width:
        found = sniff(path)
        raise DataError(
            f"{path} has {size:,} bytes, which is no whole number of records of {width:,}: it is "
            f"cut short{f', or {found}' if found else ''}; download {name}'s binary version again"
        )
    records = np.fromfile(path, dtype=np.uint8).reshape(-1, width)
    for index, (column, _, count) in enumerate(layout.labels):
        wrong = np.flatnonzero(records[:, index] >= count)
        if len(wrong):
            raise DataError(
                f"{path}: {column} of record {wrong[0] + 1} is {records[wrong[0], index]}; there "
                f"are 0 to {count - 1}. It is damaged, or of another set"
            )
    return records


def _names(name: str, path: Path, count: int) -> tuple[str, ...]:
    names = tuple(path.read_text(encoding="ascii", errors="replace").split())
    if len(names) != count:
        raise DataError(f"{path} names {len(names)} classes; {name} has {count} there")
    return names


def _refuse_pickled(name: str, folder: Path, layout: Layout) -> None:
    for depth in ("", "*/", "*/*/"):
        if any(folder.glob(depth + layout.test[0])):
            return
    pickled = [
        path
        for depth in ("", "*/")
        for file in (*PICKLED, f"{name}-python.tar.gz")
        for path in folder.glob(depth + file)
        if path.is_file()
    ]
    if pickled:
        raise DataError(
            f"{pickled[0]} is of the version for Python, which is pickled: reading it would run "
            f"whatever code it holds. Take the binary version, {name}-binary.tar.gz "
            f"(`modelyard data get {name}`)",
            value=name,
        )
