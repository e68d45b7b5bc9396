"""Reading GTSRB, the German traffic signs: folders of PPM, each with its annotations as CSV."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from modelyard.data.columns import of_numbers
from modelyard.data.csv_file import read_csv
from modelyard.data.pictures import read_pictures
from modelyard.data.published import KEPT_TEST, absent, count_note, find_file
from modelyard.data.rows import Column
from modelyard.data.table import Table
from modelyard.errors import DataError

SIZE = (32, 32)
"""Height and width that images, of 15 × 15 to 250 × 250 pixels, are resized to, as in the winning
entry (Sermanet, LeCun 2011, "Traffic sign recognition with multi-scale convolutional networks")."""

CLASSES = 43
PUBLISHED_ROWS = (39_209, 12_630)

TRAIN = ("Final_Training/Images", "Training")
TEST = "Final_Test/Images"
ANSWERS = "GT-final_test.csv"


@dataclass(frozen=True, kw_only=True)
class Sign:
    """One image, its class, and the sign that it shows (-1 where that isn't known)."""

    path: Path
    label: int
    track: int


def read_gtsrb(name: str, folder: Path) -> Table:
    """The traffic signs, resized to ``SIZE``.

    Thirty images of the training part show one sign: they stay together in the split.

    Raises:
        DataError: a file is not there or damaged, or doesn't fit its annotation; names it.
    """
    root = next((at for at in (folder / "GTSRB", folder) if _first_folder(at)), None)
    if root is None:
        raise absent(name, folder, (f"GTSRB/{TRAIN[0]}",))
    train = [sign for at in sorted(_first_folder(root)) for sign in _class(at)]
    images = root / TEST
    if not images.is_dir():
        raise absent(name, folder, (f"GTSRB/{TEST}",))
    test = _signs(find_file(name, folder, ANSWERS), images)
    signs = [*train, *test]
    names = [str(sign.path.relative_to(folder)) for sign in signs]
    read = read_pictures([sign.path for sign in signs], names, SIZE)
    counts = len(train), len(test)
    return Table(
        title=name,
        columns=_columns(signs),
        images=read.images,
        target="class",
        names=names,
        parts=np.repeat(np.array([0, 2], np.int8), counts),
        groups="track",
        unlearnt=frozenset({"track"}),
        notes=(
            KEPT_TEST,
            "Images of one sign (its track) stay together in training or validation.",
            *read.notes,
            *count_note(name, counts, PUBLISHED_ROWS),
        ),
    )


def _columns(signs: Sequence[Sign]) -> dict[str, Column]:
    tracks = {key: index for index, key in enumerate(dict.fromkeys(map(_track, signs)))}
    return {
        "class": Column(
            values=np.array([sign.label for sign in signs], np.int32),
            missing=np.zeros(len(signs), dtype=bool),
            categories=tuple(map(str, range(CLASSES))),
        ),
        "track": of_numbers(np.array([tracks[_track(sign)] for sign in signs])),
    }


def _first_folder(root: Path) -> list[Path]:
    """The folders of the classes."""
    for place in TRAIN:
        if found := [at for at in root.glob(f"{place}/[0-9]*") if at.is_dir()]:
            return found
    return []


def _class(folder: Path) -> list[Sign]:
    """The images of one class; its folder is called by its number."""
    annotations = folder / f"GT-{folder.name}.csv"
    if not annotations.is_file():
        raise DataError(f"{annotations} is not there; unpack the training images again")
    signs = _signs(annotations, folder)
    wrong = next((sign for sign in signs if sign.label != int(folder.name)), None)
    if wrong is not None:
        raise DataError(
            f"{annotations} says that {wrong.path.name} is of class {wrong.label}; it lies in the "
            f"folder of class {int(folder.name)}"
        )
    return signs


def _signs(annotations: Path, folder: Path) -> list[Sign]:
    """What a file of annotations lists."""
    table = read_csv(annotations, str(annotations))
    files = table.column("Filename", "data.source").cells()
    values = table.column("ClassId", "data.source").cells()
    signs = []
    for row, (file, value) in enumerate(zip(files, values, strict=True)):
        where = f"{annotations}, {table.where(np.array([row]))}"
        if not isinstance(value, float) or value not in range(CLASSES):
            raise DataError(f"{where}: ClassId is {value!r}; there are 0 to {CLASSES - 1}")
        path = folder / str(file)
        if not path.is_file():
            raise DataError(f"{where}: {path} is not there; unpack the images again")
        track = str(file).partition("_")[0] if "_" in str(file) else ""
        number = int(track) if track.isdigit() else -1
        signs.append(Sign(path=path, label=int(value), track=number))
    return signs


def _track(sign: Sign) -> tuple[int, int] | Path:
    """What images of one sign have in common; tracks are numbered within each class."""
    return sign.path if sign.track < 0 else (sign.label, sign.track)
