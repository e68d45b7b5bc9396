"""Reading a folder with a folder for each class, of pictures or of texts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from modelyard.data.pictures import SUFFIXES, read_pictures
from modelyard.data.published import KEPT_TEST
from modelyard.data.rows import Column
from modelyard.data.table import Table, listed
from modelyard.data.text_files import read_text_files
from modelyard.errors import DataError

TARGET = "label"
TEXT = "text"

PARTS = {
    "train": 0,
    "training": 0,
    "val": 1,
    "valid": 1,
    "validation": 1,
    "test": 2,
    "testing": 2,
}
"""Names of folders that are parts and no classes, with the number of the part."""

ARCHIVERS = "__MACOSX"
"""A folder that macOS leaves in archives; it holds nothing of theirs."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One file of a class."""

    path: Path
    label: str
    part: int


def read_class_folder(root: Path, title: str) -> Table:
    """The pictures (PNG, JPEG, PPM, BMP, WebP) or texts (``.txt``) below a folder.

    The folders in it are the classes, files anywhere below them their examples. Where they are
    called train and test (and validation), they hold the classes, and are kept as the split.

    Raises:
        DataError: there are none, or both, or one can't be read; names the file.
    """
    parts, entries = _entries(root, title)
    pictures = [entry for entry in entries if entry.path.suffix.lower() in SUFFIXES]
    texts = [entry for entry in entries if entry.path.suffix.lower() == ".txt"]
    if pictures and texts:
        raise DataError(
            f"{title} holds both pictures ({_name(root, pictures[0].path)}) and texts "
            f"({_name(root, texts[0].path)}); put them into folders of their own",
            value=title,
        )
    taken = pictures or texts
    if not taken:
        others = listed([_name(root, entry.path) for entry in entries], 3)
        raise DataError(
            f"{title} has no pictures ({', '.join(SUFFIXES)}) and no texts (.txt) in folders of "
            "their classes, such as cats/1.png and dogs/1.png"
            + (f"; it has {others}" if others else ""),
            value=title,
        )
    names = [_name(root, entry.path) for entry in taken]
    paths = [entry.path for entry in taken]
    notes = list(_notes(root, entries, taken))
    read = read_pictures(paths, names) if pictures else None
    return Table(
        title=title,
        columns={TARGET: labels([entry.label for entry in taken])},
        images=read.images if read else None,
        texts=None if read else read_text_files(TEXT, paths, names),
        target=TARGET,
        names=names,
        parts=np.array([entry.part for entry in taken], np.int8) if parts else None,
        notes=(*([KEPT_TEST] if parts else []), *notes, *(read.notes if read else ())),
    )


def labels(texts: Sequence[str]) -> Column:
    """A column of class names, sorted."""
    categories, codes = np.unique(np.array(texts), return_inverse=True)
    return Column(
        values=codes.astype(np.int32),
        missing=np.zeros(len(texts), dtype=bool),
        categories=tuple(categories.tolist()),
    )


def has_classes(root: Path) -> bool:
    """Whether a folder holds folders at all."""
    return any(_folders(root))


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir() and not _passed_over(path.name))


def _passed_over(name: str) -> bool:
    return name.startswith(".") or name == ARCHIVERS


def _entries(root: Path, title: str) -> tuple[bool, list[Entry]]:
    """Whether the folders are parts, and every file that isn't hidden, sorted."""
    folders = _folders(root)
    known = [PARTS.get(folder.name.lower()) for folder in folders]
    whole = {0, 2} <= set(known)
    if len(known) > 1 and None not in known and not whole:
        raise DataError(
            f"{title} has the folders {' and '.join(folder.name for folder in folders)}, which are "
            "parts and no classes, and train and test are not both there; add what is missing, or "
            "put the folders of the classes there instead",
            value=title,
        )
    if None in known and whole:
        raise _beside_parts(root, title, folders)
    if not whole:
        return False, [entry for folder in folders for entry in _files(root, title, folder, 0)]
    return True, [
        entry
        for folder, part in zip(folders, known, strict=True)
        for inner in _folders(folder)
        for entry in _files(root, title, inner, part or 0)
    ]


def _beside_parts(root: Path, title: str, folders: list[Path]) -> DataError:
    """Taken as classes, the parts would teach a model which of them a file is from."""
    parts = [folder.name for folder in folders if folder.name.lower() in PARTS]
    others = [_name(root, folder) for folder in folders if folder.name.lower() not in PARTS]
    are, them = ("is no part", "it") if len(others) == 1 else ("are no parts", "them")
    return DataError(
        f"{title} has the parts {' and '.join(sorted(parts, key=_order))} and, beside them, "
        f"{listed(others, 5)}, which {are}; move {them} away, or put the folders of the classes "
        "there instead",
        value=title,
    )


def _order(name: str) -> int:
    return PARTS[name.lower()]


def _files(root: Path, title: str, folder: Path, part: int) -> list[Entry]:
    try:
        folder.name.encode()
    except UnicodeEncodeError:
        raise DataError(
            f"{title}: a class must have a name in UTF-8; rename its folder "
            f"{os.fsencode(folder.relative_to(root))!r}",
            value=title,
        ) from None
    return [
        Entry(path=path, label=folder.name, part=part)
        for path in sorted(folder.rglob("*"))
        if not any(_passed_over(name) for name in path.relative_to(folder).parts)
        and (path.is_file() or path.is_symlink())
    ]


def _notes(root: Path, entries: list[Entry], taken: list[Entry]) -> list[str]:
    notes = []
    used = {entry.path for entry in taken}
    if others := [_name(root, e.path) for e in entries if e.path not in used]:
        notes.append(f"{len(others)} other files in the folders are not used: {listed(others, 5)}.")
    empty = {entry.label for entry in entries} - {entry.label for entry in taken}
    if empty:
        notes.append(f"Folders without an example are no classes: {listed(sorted(empty), 5)}.")
    if loose := sorted(p.name for p in root.iterdir() if p.suffix.lower() in (*SUFFIXES, ".txt")):
        notes.append(f"Files outside the folders of classes are not used: {listed(loose, 5)}.")
    return notes


def _name(root: Path, path: Path) -> str:
    """What messages call a file; they can be printed whatever its name is."""
    return os.fsencode(path.relative_to(root)).decode("utf-8", "replace")
