"""What a file really is, whatever its name says."""

from __future__ import annotations

from pathlib import Path


def _wide(bits: int, order: str = "") -> str:
    """Words for a text; its byte order is what it says itself where none is given."""
    return f"UTF-{bits} text; save it as UTF-8, such as with iconv -f UTF-{bits}{order} -t UTF-8"


_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive, as NPZ and Excel files are"),
    (b"PK\x05\x06", "an empty ZIP archive"),
    (b"\x1f\x8b", "a gzip file; unpack it first"),
    (b"BZh", "a bzip2 file; unpack it first"),
    (b"\xfd7zXZ", "an xz file; unpack it first"),
    (b"PAR1", "a Parquet file"),
    (b"ARROW1", "an Arrow file"),
    (b"\x93NUMPY", "a single NumPy array (NPY)"),
    (b"\x89HDF", "an HDF5 file"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"\xd0\xcf\x11\xe0", "an old Excel or Word file"),
    (b"\xff\xfe\0\0", _wide(32)),
    (b"\xff\xfe", _wide(16)),
    (b"\xfe\xff", _wide(16)),
    (b"\x7fELF", "a program"),
)

_MARKUP = (
    (b"<!doctype html", "an HTML page; was it downloaded from behind a login?"),
    (b"<html", "an HTML page; was it downloaded from behind a login?"),
    (b"<?xml", "an XML document"),
    (b"{", "JSON"),
    (b"[", "JSON"),
)


def sniff(path: Path) -> str | None:
    """What the first bytes of a file say that it is.

    Returns:
        Words for a message, with an article; None for text that may well be a table.
    """
    with path.open("rb") as file:
        head = file.read(4096)
    for signature, words in _SIGNATURES:
        if head.startswith(signature):
            return words
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:16].lower()
    for signature, words in _MARKUP:
        if start.startswith(signature):
            return words
    if b"\0" not in head:
        return None
    # Half of what Latin letters are in UTF-16 is zeros, every other byte.
    first, second = head[::2].count(0), head[1::2].count(0)
    few, many = sorted((first, second))
    if few >= 0.05 * len(head) or many <= 0.4 * len(head):
        return "a binary file"
    return _wide(16, "BE" if first > second else "LE")


def tail(path: Path, count: int) -> bytes:
    """The last bytes of a file."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - count))
        return file.read()
