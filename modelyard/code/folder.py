"""Which files of a folder are the code that travels, and whether they may."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path, PurePosixPath

from modelyard.code import archive, git
from modelyard.code.errors import OwnCodeError

NEVER = (".*", "__pycache__", "*.pyc", "*.pem", "*.key", "*.p12", "*.pfx", "id_rsa", "id_ed25519")
"""Names of files and folders that never travel, even where Git has them: hidden ones (``.env``,
``.git``, ``.venv``), compiled code, and private keys. Code needs none of them."""

REPORTS = "*-report/report.html"
"""Pages that `modelyard report` writes beside the experiment. Their folders never travel either: to
look at a sweep's model must not change the code that the sweep goes on with."""

FILE_LIMIT = 5_000
"""More files than this are no folder of code: somebody's home, say."""

NAMED_BIGGEST = 3


@dataclass(frozen=True, kw_only=True)
class Folder:
    """The code that travels.

    Args:
        path: absolute.
        files: names with ``/``, sorted.
        size: bytes of all of them.
    """

    path: Path
    files: tuple[str, ...]
    size: int

    @cached_property
    def archive(self) -> bytes:
        """All of it as one file, the same bytes for the same files."""
        return archive.pack(self.path, self.files)

    @cached_property
    def digest(self) -> str:
        """BLAKE3 of the archive."""
        return archive.digest(self.archive)


def survey(path: Path, *, needed: str, limit_bytes: int, without: Sequence[Path] = ()) -> Folder:
    """What of a folder travels: all files but those that Git ignores and those of ``NEVER``.

    Where there is no Git, virtual environments are left out too. Links to files travel as what
    they lead to; links to folders don't travel.

    Args:
        path: absolute folder.
        needed: a file in it that has to be among them.
        limit_bytes: the most that they may have together.
        without: absolute paths of files or folders that are no code: the data, our own home.

    Raises:
        OwnCodeError: too large, too many files, or ``needed`` isn't among them.
    """
    names = git.listed(path, NEVER)
    found = _walked(path) if names is None else iter(names)
    no_code = [*without, *(page.parent for page in path.glob(REPORTS))]
    sizes: dict[str, int] = {}
    for name in found:
        file = path / name
        if _travels(name) and file.is_file() and not _within(file, no_code):
            sizes[name] = file.stat().st_size
        if len(sizes) > FILE_LIMIT:
            raise OwnCodeError(
                f"{path} holds more than {FILE_LIMIT:,} files: all of it would travel to each "
                f"trial; move {needed} into a folder of its own"
            )
    if needed not in sizes:
        why = "Git ignores it" if names is not None else "its name is one that never travels"
        raise OwnCodeError(f"{path / needed} wouldn't travel to the trials: {why}")
    size = sum(sizes.values())
    if size > limit_bytes:
        raise OwnCodeError(_too_large(path, needed, sizes, limit_bytes))
    return Folder(path=path, files=tuple(sorted(sizes)), size=size)


def _too_large(path: Path, needed: str, sizes: dict[str, int], limit_bytes: int) -> str:
    biggest = sorted(sizes, key=lambda name: sizes[name], reverse=True)[:NAMED_BIGGEST]
    listed = ", ".join(f"{name} ({sizes[name]:,})" for name in biggest)
    return (
        f"{path} holds {sum(sizes.values()):,} bytes of code to travel to each trial; the limit is "
        f"{limit_bytes:,} (MODELYARD_CODE_LIMIT_BYTES). The biggest: {listed}. Let Git ignore "
        f"what is no code, or move {needed} into a folder of its own"
    )


def _travels(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return not any(fnmatchcase(part, pattern) for part in parts for pattern in NEVER)


def _within(file: Path, folders: Sequence[Path]) -> bool:
    return any(file == folder or folder in file.parents for folder in folders)


def _walked(path: Path) -> Iterator[str]:
    """Files where there is no Git to ask."""
    for folder, folders, files in os.walk(path):
        inside = PurePosixPath(Path(folder).relative_to(path).as_posix())
        folders[:] = sorted(
            name
            for name in folders
            if _travels(name) and not (Path(folder) / name / "pyvenv.cfg").is_file()
        )
        yield from ((inside / name).as_posix() for name in files)
