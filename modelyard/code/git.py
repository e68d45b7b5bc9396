"""What Git knows of a folder of code: which files are its own, its commit, and what differs."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from modelyard.code.errors import OwnCodeError

GIT_SECONDS = 60.0
"""Longest that Git may take: a large checkout on a slow disk needs seconds."""
DIFF_LIMIT_BYTES = 1_000_000
"""Longest diff that is kept; the whole code is in its archive anyway."""

NO_REPOSITORY = "not a git repository"


def listed(folder: Path, without: tuple[str, ...]) -> list[str] | None:
    """Files of a folder that Git has or would take, so all but what it is told to ignore.

    Args:
        folder: in a checkout, or not.
        without: patterns of names that are passed over.

    Returns:
        Names with ``/``, relative to the folder; None where there is no Git or no checkout.

    Raises:
        OwnCodeError: there is a checkout that Git refuses to list.
    """
    arguments = ("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", ".")
    done = _git(folder, *arguments, *_excluded(without))
    if done is None or (done.returncode and NO_REPOSITORY in done.stderr.decode(errors="replace")):
        return None
    if done.returncode:
        # Without its list, what Git ignores would travel too, secrets among it.
        said = done.stderr.decode(errors="replace").strip()
        raise OwnCodeError(f"Git can't list the files of {folder}: {said}")
    return sorted({os.fsdecode(name) for name in done.stdout.split(b"\0") if name})


def commit(folder: Path) -> str | None:
    """The commit that is checked out, None where there is none."""
    done = _git(folder, "rev-parse", "--verify", "--quiet", "HEAD")
    return None if done is None or done.returncode else done.stdout.decode().strip()


def is_dirty(folder: Path) -> bool:
    """Whether tracked files, of the folder or beside it, differ from the commit."""
    done = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return done is not None and bool(done.stdout.strip())


def diff(folder: Path, without: tuple[str, ...]) -> str:
    """What tracked files of the folder differ in from the commit, empty where nothing does.

    Args:
        without: patterns of names that are passed over.
    """
    options = ("diff", "--no-color", "--no-ext-diff", "--no-textconv", "--relative", "HEAD")
    done = _git(folder, *options, "--", ".", *_excluded(without))
    if done is None or done.returncode:
        return ""
    text = done.stdout[:DIFF_LIMIT_BYTES].decode(errors="replace")
    if len(done.stdout) > DIFF_LIMIT_BYTES:
        left = len(done.stdout) - DIFF_LIMIT_BYTES
        text += f"\n… {left:,} more bytes are not kept; the code itself is in its archive\n"
    return text


def _excluded(patterns: tuple[str, ...]) -> list[str]:
    return [f":(exclude,glob)**/{pattern}" for pattern in patterns]


def _git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes] | None:
    """Git's answer, None where there is no Git."""
    try:
        return subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            timeout=GIT_SECONDS,
            check=False,
            env={**os.environ, "LC_ALL": "C"},  # its words are looked at
        )
    except FileNotFoundError:
        return None
    except (OSError, subprocess.SubprocessError) as error:
        raise OwnCodeError(f"Git doesn't answer for {folder}: {error}") from error
