"""Local copies of committed folders that lie elsewhere, named by their content.

A copy is fetched once, whoever asks: processes that share the folder wait for one another by a
file lock, and the copy appears whole by one rename. Bytes are checked as they arrive, and a
copy that was damaged since is fetched anew.
"""

from __future__ import annotations

import fcntl
import random
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from blake3 import blake3

from modelyard.errors import DigestMismatch, ModelyardError
from modelyard.store import manifest as manifests
from modelyard.store.disk import UNTOUCHED, write_small, writing
from modelyard.store.manifest import MANIFEST, Entry, Manifest, manifest_bytes

TRIES = 8
"""Times that a read is begun again in a row without a byte having come."""

Read = Callable[[str, int], Iterator[bytes]]
"""The bytes of a named file from an offset on; raises ``Broken`` where it ends early."""


class Broken(ModelyardError):
    """A read ended early; it may be tried again from where it ended."""


class Copies:
    """Copies in one local folder. Any number of processes may use it at once.

    Args:
        folder: made when it is needed. Made in the system's temporary folder when None, and
            then gone with this object.
        note: said where the folder can't be written; see ``disk.writing``.
    """

    def __init__(self, folder: Path | None, *, note: str = UNTOUCHED) -> None:
        self._given = folder
        self._note = note
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._making = threading.Lock()

    def copy(self, uri: str, manifest: Manifest, read: Read, *, verify: bool = True) -> Path:
        """The folder that a manifest tells of.

        Args:
            uri: where it comes from, for messages.
            manifest: its files.
            read: fetches them.
            verify: whether bytes must be those of the manifest; a copy that wasn't verified is
                made for this call alone.

        Raises:
            DigestMismatch: what was read is not what was committed; names the file.
            FileNotFoundError: a file is not there.
            ModelyardError: it can't be read, or the copy not be written.
        """
        folder = self._folder()
        name = blake3(manifest_bytes(manifest)).hexdigest()[:32]
        with writing(folder, note=self._note):
            folder.mkdir(parents=True, exist_ok=True)
            if not verify:
                target = Path(tempfile.mkdtemp(prefix=".unverified-", dir=folder))
                _fill(target, uri, manifest, read, verify=False)
                return target
            with _alone(folder / f".{name}.lock"):
                if not _is_whole(folder / name, manifest):
                    _replace(folder, name, uri, manifest, read)
        return folder / name

    def _folder(self) -> Path:
        with self._making:
            if self._given is not None:
                return self._given
            if self._temporary is None:
                self._temporary = tempfile.TemporaryDirectory(prefix="modelyard-copies-")
            return Path(self._temporary.name)


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    with file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _is_whole(folder: Path, manifest: Manifest) -> bool:
    if not (folder / MANIFEST).is_file():
        return False
    try:
        manifests.verify(folder, manifest)
    except DigestMismatch:
        return False
    return True


def _replace(folder: Path, name: str, uri: str, manifest: Manifest, read: Read) -> None:
    for left in folder.glob(f".{name}.*.part"):  # of a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    part = Path(tempfile.mkdtemp(prefix=f".{name}.", suffix=".part", dir=folder))
    try:
        _fill(part, uri, manifest, read, verify=True)
        part.chmod(0o755)  # read by whoever shares the folder
        shutil.rmtree(folder / name, ignore_errors=True)
        part.rename(folder / name)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _fill(target: Path, uri: str, manifest: Manifest, read: Read, *, verify: bool) -> None:
    for name, entry in sorted(manifest.items()):
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            digest, size = save(path, partial(read, name))
        except FileNotFoundError:
            raise DigestMismatch(
                f"{uri}/{name} is missing; it was committed with {entry.bytes} bytes"
            ) from None
        if verify and (digest, size) != (entry.blake3, entry.bytes):
            raise DigestMismatch(_other(f"{uri}/{name}", entry, size))
    write_small(target / MANIFEST, manifest_bytes(manifest))


def _other(file: str, entry: Entry, size: int) -> str:
    return (
        f"{file} is not the file that was committed: {size} bytes with another digest came, and "
        f"it had BLAKE3 {entry.blake3[:16]}… and {entry.bytes} bytes"
    )


def save(path: Path, read: Callable[[int], Iterator[bytes]]) -> tuple[str, int]:
    """Write what is read to a file, going on where a read broke off.

    Args:
        path: the file.
        read: the bytes from an offset on.

    Returns:
        BLAKE3 and length of what came.

    Raises:
        Broken: it broke off too often.
    """
    hasher, done, fruitless = blake3(), 0, 0
    with path.open("wb") as file:
        while True:
            before = done
            try:
                for chunk in read(done):
                    file.write(chunk)
                    hasher.update(chunk)
                    done += len(chunk)
            except Broken:
                fruitless = 0 if done > before else fruitless + 1
                if fruitless >= TRIES:
                    raise
                threading.Event().wait(min(5.0, 0.1 * 2**fruitless) * random.uniform(0.5, 1.0))
            else:
                return hasher.hexdigest(), done
