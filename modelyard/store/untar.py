"""Tar archives of others: plain files and folders, and nothing outside of where they are to go.

``TarFile.extractall(filter=…)`` is missing in the first releases of Python 3.11, which
distributions still ship.
"""

from __future__ import annotations

import os
import shutil
import tarfile
from pathlib import Path


def untar(archive: tarfile.TarFile, folder: Path) -> None:
    """Write what an archive holds into a folder; owners, modes and times are left out.

    Args:
        archive: open for reading.
        folder: fresh: links that lie there already are followed.

    Raises:
        tarfile.ExtractError: a member is neither file nor folder, or its name leads out of the
            folder. What stood before it has been written.
        tarfile.TarError, EOFError: the archive is damaged or cut short.
    """
    root = os.path.abspath(folder)
    os.makedirs(root, exist_ok=True)
    for member in archive:
        target = os.path.normpath(os.path.join(root, member.name))
        if os.path.commonpath((root, target)) != root:
            raise tarfile.ExtractError(f"{member.name!r} leads out of the folder")
        if member.isdir():
            os.makedirs(target, exist_ok=True)
        elif member.isreg() and member.sparse is None:
            _write(archive, member, target)
        else:
            raise tarfile.ExtractError(f"{member.name!r} is neither file nor folder")


def _write(archive: tarfile.TarFile, member: tarfile.TarInfo, target: str) -> None:
    source = archive.extractfile(member)
    assert source is not None
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with source, open(target, "wb") as file:
        shutil.copyfileobj(source, file)
