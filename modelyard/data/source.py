"""From ``data.source`` to a table: where it lies, which reader, whether there is anything."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from modelyard.data.bundled import PREFIX, read_bundled
from modelyard.data.table import Table, listed
from modelyard.errors import DataError, ModelyardError
from modelyard.experiment.places import SETS, UPLOADED, is_path, plugin_name, set_name
from modelyard.experiment.similar import did_you_mean, nearest
from modelyard.store.copies import save
from modelyard.store.disk import writing
from modelyard.store.manifest import read_manifest
from modelyard.store.store import Store, join


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


def fetched(source: str, folder: Path, store: Store, store_base: str) -> Path | None:
    """A local file with what a far source holds; None for one that is read where it lies.

    Args:
        source: ``data.source`` of the experiment.
        folder: where an object of a bucket is written to.
        store: holds what was uploaded, below ``store_base``.

    Raises:
        DataError: it isn't there, or can't be read from here.
    """
    if source.startswith("s3://"):
        return _object(source, folder)
    if source.startswith(UPLOADED):
        return _uploaded(source, store, store_base)
    return None


def read(source: str, base: Path, file: Path | None = None) -> Table:
    """All that a source holds.

    Args:
        source: ``data.source`` of the experiment.
        base: folder that a relative path starts from.
        file: what ``fetched`` found.

    Raises:
        DataError: it isn't there, isn't what its name says, can't be read, or is too large.
    """
    try:
        return _read(source, base, file)
    except OSError as error:
        raise DataError(f"{source} can't be read: {error.strerror or error}") from error
    except MemoryError as error:
        raise DataError(
            f"{source} needs more memory than there is here ({str(error) or 'none is left'}); take "
            "fewer rows, or a machine with more"
        ) from error


def _read(source: str, base: Path, file: Path | None) -> Table:
    if source.startswith(PREFIX):
        return read_bundled(source)
    if (name := set_name(source)) is not None:
        from modelyard.data.named import read_named

        return read_named(name)
    if (plugin := plugin_name(source)) is not None:
        from modelyard.data.plugged import read_plugged

        return read_plugged(plugin, read)
    if file is None and not is_path(source):
        raise DataError(
            f"{source} can't be read from here; give sklearn:<name>, a file, or s3://bucket/key, "
            "which the prepare stage reads",
            value=source,
        )
    path = base / Path(source).expanduser() if file is None else file
    if path.is_dir():
        return _folder(path, source)
    _refuse_absent(path, source)
    suffix = Path(source).suffix  # an upload's file may have been sent under another name
    reader = READERS.get(suffix.lower())
    if reader is None:
        raise DataError(
            f"{source} {f'ends in {suffix!r}' if suffix else 'has no suffix'}; "
            f"a file must be one of {', '.join(READERS)}",
            value=source,
            valid=tuple(READERS),
        )
    if path.stat().st_size == 0:
        raise DataError(f"{source} is empty (0 bytes)", value=source)
    return reader(path, source)


def _object(source: str, folder: Path) -> Path:
    from modelyard.store.place import place_of
    from modelyard.store.s3 import S3

    try:
        place, s3 = place_of(source), S3()
        found = s3.stat(place)
        if found is None:
            s3.look(place.bucket)
            raise DataError(
                f"{source} is not there: the bucket {place.bucket} has no {place.key!r}; write "
                "s3://bucket/key of one file",
                value=source,
            )
        path = folder / f"source{Path(place.key).suffix}"
        with writing(path):
            _, size = save(path, lambda start: s3.read(place, start, found.etag))
    except DataError:
        raise
    except (ModelyardError, FileNotFoundError) as error:
        raise DataError(f"{source} can't be read: {error}", value=source) from error
    if size != found.bytes:
        raise DataError(f"{source} changed while it was read; run it again", value=source)
    return path


def _uploaded(source: str, store: Store, store_base: str) -> Path:
    digest, _, name = source.removeprefix(UPLOADED).partition("/")
    if not re.fullmatch(r"[0-9a-f]{64}", digest) or not name:
        raise DataError(f"{source} is no upload; it is upload:<digest>/<name>", value=source)
    try:
        folder = store.fetch(join(store_base, "uploads", digest))
    except FileNotFoundError:
        raise DataError(
            f"{name} (digest {digest[:12]}) is not in the server's store (any more); run the file "
            "again, which uploads it",
            value=source,
        ) from None
    return folder / next(iter(read_manifest(folder)))


def _folder(path: Path, source: str) -> Table:
    """The pictures or texts of a folder; one with tables only is refused with their names."""
    from modelyard.data.class_folder import has_classes, read_class_folder

    if has_classes(path):
        return read_class_folder(path, source)
    files = sorted(child.name for child in path.iterdir() if child.suffix in READERS)
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
    if near is None and (known := nearest(source, SETS)):
        raise DataError(
            f"{source} is not there (looked in {path.parent}); did you mean the published set "
            f"{known}?",
            value=source,
            nearest=known,
        )
    hint = did_you_mean(near)
    raise DataError(
        f"{source} is not there (looked in {path.parent}){hint}", value=source, nearest=near
    )
