"""Writing to a disk that may be full, and small files that are there whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modelyard.errors import ModelyardError

UNTOUCHED = "What was committed before is untouched"


@contextmanager
def writing(target: Path, *, note: str = UNTOUCHED) -> Iterator[None]:
    """Say a failed write below ``target`` in the user's words.

    Args:
        note: what else to know of it, a sentence without its full stop.

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
        raise ModelyardError(f"{target} can't be written: {reason}. {note}") from error


def write_small(path: Path, content: bytes) -> None:
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


def read_small(path: Path) -> bytes | None:
    """A small file, or None where it can't be read."""
    try:
        return path.read_bytes()
    except OSError:
        return None
