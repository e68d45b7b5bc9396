"""Artifacts by URI: snapshots, checkpoints and packed models, each a folder of files.

A folder is committed once and never changed: readers see all of it or nothing. Its manifest,
``manifest.json``, holds the BLAKE3 and the length of each file, is written last, and whatever
has no manifest does not exist. Layout under the base of an installation:

    data/<digest>                                       snapshots, shared by sweeps
    sweeps/<sweep>/<task>/<launch>/checkpoints/<epoch>  six digits
    sweeps/<sweep>/<task>/<launch>/model
    sweeps/<sweep>/<task>/<launch>/evaluation

Digests are verified at each fetch. Only where a folder holds ``STAMPED_BYTES`` or more is a
stamp kept beside it (inode, length, times of change of each file), so that twenty trials that
open one big snapshot hash it once; any write to a file changes its stamp.
"""

from __future__ import annotations

import errno
import glob
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Protocol
from urllib.parse import quote, unquote, urlsplit

from blake3 import blake3
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from modelyard.errors import DigestMismatch, InputError, ModelyardError

MANIFEST = "manifest.json"
STAMPED_BYTES = 64 << 20
"""Below this, hashing (about 4 GB/s on one core) is cheaper than thinking about it."""


class Entry(BaseModel):
    """One file of a manifest."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    blake3: str
    bytes: int


Manifest = Mapping[str, Entry]
"""By name within the folder, subfolders with ``/``."""

_MANIFEST: TypeAdapter[dict[str, Entry]] = TypeAdapter(dict[str, Entry])


class Store(Protocol):
    """Where artifacts lie. May be used by any number of processes at once."""

    def commit(self, folder: Path, uri: str) -> str:
        """Copy a local folder's files to ``uri``, all or nothing.

        Args:
            folder: local folder; stays as it is. A ``manifest.json`` in it is not copied.
            uri: where to. Once committed it never changes: the same files again are no
                error and are not written.

        Returns:
            ``uri``.

        Raises:
            ModelyardError: other files are committed there, or they can't be written (a full
                disk); what was there is untouched.
        """
        ...

    def fetch(self, uri: str, *, verify: bool = True) -> Path:
        """A local folder with the files of a committed folder, to be read only.

        Raises:
            FileNotFoundError: nothing is committed there.
            DigestMismatch: a file is not what was committed; names it.
        """
        ...

    def committed(self, uri: str) -> tuple[str, ...]:
        """URIs of the folders within ``uri`` that are committed, sorted by name."""
        ...

    def delete(self, uri: str) -> None:
        """Remove a folder and all within it; no error where there is none."""
        ...


def store_for(base_uri: str) -> Store:
    """The store that serves URIs like ``base_uri``.

    Raises:
        InputError: no store speaks that scheme.
    """
    scheme = urlsplit(base_uri).scheme
    if scheme == "file":
        return FolderStore()
    raise InputError(
        f"{base_uri!r} is no place for artifacts: the scheme {scheme or '(none)'!r} is not "
        "supported; write file:///absolute/folder"
    )


def join(uri: str, *parts: str) -> str:
    """``uri`` with further path segments; each part may hold several, parted by ``/``."""
    segments = [segment for part in parts for segment in part.split("/")]
    if wrong := [segment for segment in segments if segment in ("", ".", "..")]:
        raise ValueError(f"{'/'.join(parts)!r} has the segment {wrong[0]!r}; names only")
    return "/".join([uri.rstrip("/"), *(quote(segment) for segment in segments)])


def digest_file(path: Path) -> str:
    """BLAKE3 of a file, 64 hexadecimal digits.

    One thread only: a process that forks later must not have started a thread pool.
    """
    return blake3().update_mmap(path).hexdigest()


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a local folder.

    Raises:
        FileNotFoundError: it has none.
        DigestMismatch: it is damaged.
    """
    path = folder / MANIFEST
    try:
        return _MANIFEST.validate_json(path.read_bytes())
    except ValidationError as error:
        raise DigestMismatch(f"{path} is damaged and can't be read as a manifest") from error


def verify(folder: Path, manifest: Manifest) -> None:
    """Check that a folder's files are those of a manifest.

    Raises:
        DigestMismatch: names the first file that is missing, or not what it was.
    """
    stamped = sum(entry.bytes for entry in manifest.values()) >= STAMPED_BYTES
    stamp = _stamp(folder, manifest) if stamped else None
    stamp_file = _stamp_file(folder, manifest)
    if stamp is not None and _read(stamp_file) == stamp:
        return
    for name, entry in manifest.items():
        path = folder / name
        if not path.is_file():
            raise DigestMismatch(f"{path} is missing; it was committed with {entry.bytes} bytes")
        if path.stat().st_size != entry.bytes or digest_file(path) != entry.blake3:
            raise DigestMismatch(
                f"{path} changed after its digest was taken: it is no longer the file with "
                f"BLAKE3 {entry.blake3[:16]}… and {entry.bytes} bytes"
            )
    if stamp is not None:
        # A store that may only be read is hashed each time: slower, and right.
        with suppress(OSError):
            stamp_file.parent.mkdir(exist_ok=True)
            _write(stamp_file, stamp)


class FolderStore:
    """Artifacts in folders of this machine (or of a shared mount), by ``file://`` URIs."""

    def commit(self, folder: Path, uri: str) -> str:
        """See ``Store.commit``. The whole folder appears by one rename."""
        target = _local(uri)
        names = sorted(_files(folder))
        if not names:
            raise ValueError(f"{folder} has no files to commit")
        if (target / MANIFEST).is_file():
            _refuse_other(target, {name: _entry(folder / name) for name in names})
            return uri
        part = target.parent / f".{target.name}.{secrets.token_hex(6)}.part"
        try:
            with writing(target):
                target.parent.mkdir(parents=True, exist_ok=True)
                manifest = _copy(folder, names, part)
                self._place(part, target, manifest)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        return uri

    def fetch(self, uri: str, *, verify: bool = True) -> Path:
        """See ``Store.fetch``. The folder itself: nothing is copied."""
        folder = _local(uri)
        try:
            manifest = read_manifest(folder)
        except (FileNotFoundError, NotADirectoryError):
            raise FileNotFoundError(f"nothing is committed at {uri}") from None
        if verify:
            _verify(folder, manifest)
        return folder

    def committed(self, uri: str) -> tuple[str, ...]:
        """See ``Store.committed``."""
        folder = _local(uri)
        if not folder.is_dir():
            return ()
        names = sorted(
            child.name
            for child in folder.iterdir()
            if not child.name.startswith(".") and (child / MANIFEST).is_file()
        )
        return tuple(join(uri, name) for name in names)

    def delete(self, uri: str) -> None:
        """See ``Store.delete``. The folder vanishes by one rename before its files go."""
        target = _local(uri)
        aside = target.parent / f".{target.name}.{secrets.token_hex(6)}.deleted"
        with suppress(FileNotFoundError):
            os.replace(target, aside)
        shutil.rmtree(aside, ignore_errors=True)
        for stamp in (target.parent / ".verified").glob(f"{glob.escape(target.name)}-*.json"):
            stamp.unlink(missing_ok=True)

    def _place(self, part: Path, target: Path, manifest: Manifest) -> None:
        """Rename ``part`` to ``target`` unless the same is there already."""
        while True:
            try:
                os.replace(part, target)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                    raise
            else:
                return
            if not (target / MANIFEST).is_file():
                self.delete(target.as_uri())  # files that nobody committed
                continue
            _refuse_other(target, manifest)
            return


_verify = verify  # ``fetch`` has an argument of that name


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Say a failed write below ``target`` in the user's words.

    Raises:
        ModelyardError: in place of any OSError.
    """
    try:
        yield
    except OSError as error:
        reasons = {
            errno.ENOSPC: "the disk is full; free some space",
            errno.EDQUOT: "the disk quota is used up; free some space",
            errno.EROFS: "the file system may only be read",
            errno.EACCES: "permission denied",
        }
        # NumPy gives a short write no number: "960000 requested and 4096 written".
        full = error.errno is None and "written" in str(error)
        code = errno.ENOSPC if full else error.errno or 0
        reason = reasons.get(code) or error.strerror or str(error)
        raise ModelyardError(
            f"{target} can't be written: {reason}. What was committed before is untouched"
        ) from error


def _local(uri: str) -> Path:
    """The local path of a ``file://`` URI."""
    parts = urlsplit(uri)
    if (
        parts.scheme != "file"
        or parts.netloc not in ("", "localhost")
        or not parts.path.startswith("/")
    ):
        raise InputError(f"{uri!r} is no folder of this machine; write file:///absolute/folder")
    return Path(unquote(parts.path))


def _files(folder: Path) -> Iterator[str]:
    """Names of all files below a folder, but for its manifest."""
    for path in folder.rglob("*"):
        name = PurePosixPath(path.relative_to(folder)).as_posix()
        if path.is_file() and name != MANIFEST:
            yield name


def _copy(folder: Path, names: list[str], part: Path) -> Manifest:
    """Copy files into the new folder ``part`` and write the manifest of what arrived."""
    manifest: dict[str, Entry] = {}
    for name in names:
        copy = part / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / name, copy)
        manifest[name] = _entry(copy)
    text = {name: entry.model_dump() for name, entry in manifest.items()}
    _write(part / MANIFEST, json.dumps(text, indent=1, sort_keys=True).encode())
    return manifest


def _entry(path: Path) -> Entry:
    return Entry(blake3=digest_file(path), bytes=path.stat().st_size)


def _refuse_other(target: Path, manifest: Manifest) -> None:
    """A committed folder may be committed again only as it is."""
    if read_manifest(target) != manifest:
        raise ModelyardError(
            f"{target} is committed already, with other files; a committed folder never changes"
        )


def _write(path: Path, content: bytes) -> None:
    """Write a small file so that it is on the disk, or not there at all."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _stamp_file(folder: Path, manifest: Manifest) -> Path:
    """Beside the folder, a file for each set of digests that it is checked against."""
    digests = "".join(f"{name} {entry.blake3}\n" for name, entry in sorted(manifest.items()))
    short = blake3(digests.encode()).hexdigest()[:8]
    return folder.parent / ".verified" / f"{folder.name}-{short}.json"


def _stamp(folder: Path, manifest: Manifest) -> bytes | None:
    """What changes when any of these files, or the manifest's digests, do; None if one is gone."""
    try:
        stats = {name: (folder / name).stat() for name in manifest}
    except OSError:
        return None
    stamp = {
        name: [manifest[name].blake3, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns]
        for name, s in stats.items()
    }
    return json.dumps(stamp, sort_keys=True).encode()
