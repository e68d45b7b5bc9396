"""Reading text files, one example each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from modelyard.data.sniff import sniff
from modelyard.data.texts import Texts
from modelyard.errors import DataError

WIDE_MARKS = (b"\xff\xfe", b"\xfe\xff")
"""What UTF-16 begins with, where it says its byte order."""


def read_text_files(
    name: str,
    paths: Sequence[Path],
    names: Sequence[str],
    clean: Callable[[str], str] = str.strip,
) -> Texts:
    """Texts of files in UTF-8.

    Args:
        name: of the column that they become.
        paths: the files.
        names: what messages call them.
        clean: applied to each text.

    Raises:
        DataError: a byte is not UTF-8; names the file, the byte and the fix.
    """
    return Texts.of(
        name, (clean(_decoded(path, said)) for path, said in zip(paths, names, strict=True))
    )


def _decoded(path: Path, said: str) -> str:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{said} can't be read: {error.strerror}", value=said) from error
    # UTF-16 of letters beyond the first 256 has no byte 0; its mark is enough.
    if found := sniff(path) if b"\0" in raw or raw[:2] in WIDE_MARKS else None:
        raise DataError(f"{said} is no plain text: it is {found}", value=said)
    try:
        return raw.removeprefix(b"\xef\xbb\xbf").decode()
    except UnicodeDecodeError as error:
        wrong = error.object[error.start]
        fix = "save it as UTF-8, such as with iconv -f ISO-8859-1 -t UTF-8"
        raise DataError(
            f"{said} is not UTF-8: byte {error.start + 1} is {wrong:#04x}; {fix}", value=said
        ) from error
