"""The manifest of a committed folder: the BLAKE3 and the length of each of its files.

Digests are verified at each fetch. Only where a folder holds ``STAMPED_BYTES`` or more is a
stamp kept beside it (inode, length, times of change of each file), so that twenty trials that
open one big snapshot hash it once; any write to a file changes its stamp.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath

from blake3 import blake3
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from modelyard.errors import DigestMismatch
from modelyard.store.disk import read_small, write_small

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
    return parse_manifest(path.read_bytes(), str(path))


def parse_manifest(content: bytes, name: str) -> Manifest:
    """A manifest from its bytes.

    Args:
        name: where it was read, for messages.

    Raises:
        DigestMismatch: it is damaged, or names a file outside of its folder.
    """
    try:
        manifest = _MANIFEST.validate_json(content)
    except ValidationError as error:
        raise DigestMismatch(f"{name} is damaged and can't be read as a manifest") from error
    if wrong := [file for file in manifest if not is_inside(file)]:
        raise DigestMismatch(f"{name} names the file {wrong[0]!r}, which is outside of its folder")
    return manifest


def is_inside(name: str) -> bool:
    """Whether a file's name is one that a folder may have, with ``/`` and nothing upwards."""
    return "\0" not in name and all(part not in ("", ".", "..") for part in name.split("/"))


def verify(folder: Path, manifest: Manifest) -> None:
    """Check that a folder's files are those of a manifest.

    Raises:
        DigestMismatch: names the first file that is missing, or not what it was.
    """
    stamped = sum(entry.bytes for entry in manifest.values()) >= STAMPED_BYTES
    stamp = _stamp(folder, manifest) if stamped else None
    stamp_file = _stamp_file(folder, manifest)
    if stamp is not None and read_small(stamp_file) == stamp:
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
            write_small(stamp_file, stamp)


def files_of(folder: Path) -> Iterator[str]:
    """Names of all files below a folder, but for its manifest."""
    for path in folder.rglob("*"):
        name = PurePosixPath(path.relative_to(folder)).as_posix()
        if path.is_file() and name != MANIFEST:
            yield name


def entry_of(path: Path) -> Entry:
    """A file's line in a manifest."""
    return Entry(blake3=digest_file(path), bytes=path.stat().st_size)


def manifest_bytes(manifest: Manifest) -> bytes:
    """A manifest as it is written."""
    text = {name: entry.model_dump() for name, entry in manifest.items()}
    return json.dumps(text, indent=1, sort_keys=True).encode()


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
