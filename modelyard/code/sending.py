"""Brings code to where trials fetch it from, and says where it comes from."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from modelyard.code import git
from modelyard.code.archive import ARCHIVE
from modelyard.code.folder import NEVER, Folder

DIFF = "code.diff"
"""Name under which what differs from the commit is uploaded."""

DIFF_TAG = "git_diff"
"""Tag of a sweep: digest of that upload."""

Upload = Callable[[Path, str], str]
"""Stores a file's content under a name, and returns its BLAKE3: ``Client.upload``."""


@dataclass(frozen=True, kw_only=True)
class Sent:
    """Code that lies where a sweep can name it.

    Args:
        digest: of its archive; a sweep's ``code``.
        tags: for the sweep: ``code``, and in a Git checkout ``git_commit``, ``git_dirty`` and,
            where tracked files of the folder differ from the commit, ``git_diff``.
    """

    digest: str
    tags: dict[str, str]


def send(folder: Folder, upload: Upload) -> Sent:
    """Upload a folder's archive, and its difference from the commit that is checked out.

    Raises:
        ModelyardError: whatever the upload raises.
    """
    digest = _uploaded(folder.archive, ARCHIVE, upload)
    tags = {"code": digest}
    commit = git.commit(folder.path)
    if commit is not None:
        diff = git.diff(folder.path, NEVER)
        dirty = "true" if git.is_dirty(folder.path) else "false"
        tags |= {"git_commit": commit, "git_dirty": dirty}
        if diff:
            tags[DIFF_TAG] = _uploaded(diff.encode(), DIFF, upload)
    return Sent(digest=digest, tags=tags)


def _uploaded(content: bytes, name: str, upload: Upload) -> str:
    with tempfile.TemporaryDirectory(prefix="modelyard-code-") as folder:
        file = Path(folder) / name
        file.write_bytes(content)
        return upload(file, name)
