"""A folder of code as one file: the same files give the same bytes, whoever packs them."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable
from pathlib import Path

from blake3 import blake3

from modelyard.code.errors import OwnCodeError
from modelyard.store.untar import untar

ARCHIVE = "code.tar"
"""Name of the archive where it is uploaded, and in a packed model."""


def pack(folder: Path, files: Iterable[str]) -> bytes:
    """Some files of a folder as a tar archive.

    Sorted, and without times, owners and modes: they differ between two checkouts of one commit.
    Links are packed as what they lead to.

    Args:
        folder: that the names start from.
        files: names with ``/``.

    Raises:
        OwnCodeError: a file can't be read.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted(files):
            content = _content(folder / name)
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def digest(archive: bytes) -> str:
    """BLAKE3 of an archive, 64 hexadecimal digits: the name of the code it holds."""
    return blake3(archive).hexdigest()


def unpack(archive: Path, folder: Path) -> None:
    """Write the files of an archive into a folder, which is made if it isn't there.

    Raises:
        OwnCodeError: it is no archive of code, or holds anything but plain files within the folder.
    """
    try:
        with tarfile.open(archive, mode="r:") as opened:
            if strange := [m.name for m in opened if not m.isreg() or m.sparse is not None]:
                raise OwnCodeError(
                    f"{archive.name} holds {strange[0]!r}, which is no plain file; it was not "
                    "made by Modelyard"
                )
            untar(opened, folder)
    except tarfile.TarError as error:
        raise OwnCodeError(f"{archive} is no archive of code: {error}") from error


def read_member(archive: Path, name: str) -> bytes | None:
    """One file of an archive, None where it isn't in there.

    Raises:
        OwnCodeError: it is no archive of code.
    """
    try:
        with tarfile.open(archive, mode="r:") as opened:
            member = opened.extractfile(name)
            return None if member is None else member.read()
    except KeyError:
        return None
    except tarfile.TarError as error:
        raise OwnCodeError(f"{archive} is no archive of code: {error}") from error


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise OwnCodeError(f"{path} can't be read: {error.strerror}") from error
