"""Reading the film reviews of IMDB: folders train and test, each with pos and neg."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from modelyard.data.class_folder import TARGET, TEXT, labels
from modelyard.data.published import KEPT_TEST, absent, count_note
from modelyard.data.table import Table
from modelyard.data.text_files import read_text_files
from modelyard.errors import DataError

PARTS = {"train": 0, "test": 2}
CLASSES = ("neg", "pos")
PUBLISHED_ROWS = (25_000, 25_000)

_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)


def read_imdb(name: str, folder: Path) -> Table:
    """The labelled reviews; the unlabelled ones are left out. Line breaks in HTML become blanks.

    Raises:
        DataError: a folder is not there or empty, a review is not UTF-8; names it.
    """
    root = next((at for at in (folder, folder / "aclImdb") if (at / "train").is_dir()), None)
    if root is None:
        raise absent(name, folder, ("aclImdb/train", "aclImdb/test"))
    paths, marks, parts = [], [], []
    for part, number in PARTS.items():
        for mark in CLASSES:
            files = sorted((root / part / mark).glob("*.txt"))
            if not files:
                raise DataError(f"{root / part / mark} has no reviews (*.txt); unpack {name} again")
            paths += files
            marks += [mark] * len(files)
            parts += [number] * len(files)
    names = [str(path.relative_to(folder)) for path in paths]
    counts = parts.count(0), parts.count(2)
    return Table(
        title=name,
        columns={TARGET: labels(marks)},
        texts=read_text_files(TEXT, paths, names, _clean),
        target=TARGET,
        names=names,
        parts=np.array(parts, np.int8),
        notes=(KEPT_TEST, *count_note(name, counts, PUBLISHED_ROWS)),
    )


def _clean(text: str) -> str:
    return _BREAK.sub(" ", text).strip()
