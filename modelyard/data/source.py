"""From ``data.source`` to a table: which reader, and whether there is anything to read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from modelyard.data.bundled import PREFIX, read_bundled
from modelyard.data.published import PUBLISHED, set_name
from modelyard.data.table import Table, listed, nearest
from modelyard.errors import DataError


def _csv(path: Path, title: str) -> Table:
    from modelyard.data.csv_file import read_csv

    return read_csv(path, title)


def _parquet(path: Path, title: str) -> Table:
    from modelyard.data.parquet_file import read_parquet

    return read_parquet(path, title)


def _npz(path: Path, title: str) -> Table:
    from modelyard.data.npz_file import read_npz

    return read_npz(path, title)


READERS: dict[str, Callable[[Path, str], Table]] = {
    ".csv": _csv,
    ".tsv": _csv,
    ".parquet": _parquet,
    ".npz": _npz,
}


def read(source: str, base: Path) -> Table:
    """All that a source holds.

    Args:
        source: ``data.source`` of the experiment.
        base: folder that a relative path starts from.

    Raises:
        DataError: it isn't there, isn't what its name says, or can't be read.
    """
    if source.startswith(PREFIX):
        return read_bundled(source)
    if (name := set_name(source)) is not None:
        from modelyard.data.named import read_named

        return read_named(name)
    scheme = source.partition("://")[0] if "://" in source else None
    if scheme is not None:
        raise DataError(
            f"{source}: {scheme}:// is not supported yet; give sklearn:<name> or a file",
            value=source,
        )
    path = base / Path(source).expanduser()
    if path.is_dir():
        return _folder(path, source)
    _refuse_absent(path, source)
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(
            f"{source} ends in {path.suffix or 'no suffix'!r}; "
            f"a file must be one of {', '.join(READERS)}",
            value=source,
            valid=tuple(READERS),
        )
    try:
        if path.stat().st_size == 0:
            raise DataError(f"{source} is empty (0 bytes)", value=source)
        return reader(path, source)
    except OSError as error:
        raise DataError(f"{source} can't be read: {error.strerror or error}") from error


def _folder(path: Path, source: str) -> Table:
    """The pictures or texts of a folder; one with tables only is refused with their names."""
    from modelyard.data.class_folder import has_classes, read_class_folder

    try:
        if has_classes(path):
            return read_class_folder(path, source)
        files = sorted(child.name for child in path.iterdir() if child.suffix in READERS)
    except OSError as error:
        raise DataError(f"{source} can't be read: {error.strerror or error}") from error
    hint = (
        f"name one of its files: {listed(files)}"
        if files
        else "name a file, or a folder that holds a folder of pictures or texts for each class"
    )
    raise DataError(f"{source} is a folder; {hint}", value=source, valid=tuple(files))


def _refuse_absent(path: Path, source: str) -> None:
    if path.exists():
        return
    if not path.parent.is_dir():
        raise DataError(f"{source} is not there: there is no folder {path.parent}", value=source)
    near = nearest(path.name, tuple(child.name for child in path.parent.iterdir()))
    if near is None and (known := nearest(source, tuple(PUBLISHED))):
        raise DataError(
            f"{source} is not there (looked in {path.parent}); did you mean the published set "
            f"{known}?",
            value=source,
            nearest=known,
        )
    hint = f"; did you mean {near}?" if near else ""
    raise DataError(
        f"{source} is not there (looked in {path.parent}){hint}", value=source, nearest=near
    )
