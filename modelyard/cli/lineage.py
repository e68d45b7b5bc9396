"""Where an experiment comes from: commit, user, file and host, as tags of its sweep."""

from __future__ import annotations

import getpass
import platform
import subprocess
from pathlib import Path

from modelyard.code.git import GIT_SECONDS


def lineage(file: Path) -> dict[str, str]:
    """What is known of the origin of an experiment file.

    Args:
        file: the experiment file.

    Returns:
        ``file``, ``user``, ``host``; in a Git checkout also ``git_commit`` and, where Git can
        tell, ``git_dirty`` (``true`` when tracked files differ from it).
    """
    tags = {"file": str(file.absolute()), "user": _user(), "host": platform.node()}
    commit = _git(file, "rev-parse", "HEAD")
    if commit:
        changes = _git(file, "status", "--porcelain", "--untracked-files=no")
        tags["git_commit"] = commit
        if changes is not None:
            tags["git_dirty"] = "true" if changes else "false"
    return tags


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user id without a name, as in many containers
        return "unknown"


def _git(file: Path, *arguments: str) -> str | None:
    """What Git says, None where it doesn't."""
    command = ["git", "-C", str(file.absolute().parent), *arguments]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=GIT_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
