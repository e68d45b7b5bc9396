"""Reading IDX, the format of MNIST and Fashion-MNIST, gzipped or not."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from modelyard.data.published import KEPT_TEST, count_note, find_file
from modelyard.data.rows import Column
from modelyard.data.sniff import sniff
from modelyard.data.table import Table
from modelyard.errors import DataError

IMAGES, LABELS = 3, 1
"""Dimensions of a file of images and of one of labels."""

UNSIGNED_BYTE = 0x08
"""Third byte of the magic number: what each value is."""

BLOCK_BYTES = 1 << 20

SIZE = (28, 28)
CLASSES = {
    "mnist": tuple("0123456789"),
    "fashion-mnist": (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
}
PUBLISHED_ROWS = (60_000, 10_000)


def read_mnist(name: str, folder: Path) -> Table:
    """MNIST or Fashion-MNIST.

    Raises:
        DataError: a file is not there, damaged, or doesn't fit the others; names it.
    """
    images, labels = zip(*(_part(name, folder, part) for part in ("train", "t10k")), strict=True)
    counts = len(labels[0]), len(labels[1])
    codes = np.concatenate(labels)
    return Table(
        title=name,
        columns={
            "label": Column(
                values=codes.astype(np.int32),
                missing=np.zeros(len(codes), dtype=bool),
                categories=CLASSES[name],
            )
        },
        images=np.concatenate(images)[..., np.newaxis],
        target="label",
        parts=np.repeat(np.array([0, 2], np.int8), counts),
        notes=(KEPT_TEST, *count_note(name, counts, PUBLISHED_ROWS)),
    )


def _part(name: str, folder: Path, part: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    image_file = _find(name, folder, f"{part}-images", IMAGES)
    label_file = _find(name, folder, f"{part}-labels", LABELS)
    images = read_idx(image_file, IMAGES)
    labels = read_idx(label_file, LABELS)
    if images.shape[1:] != SIZE:
        height, width = images.shape[1:]
        raise DataError(f"{image_file} holds images of {height} × {width}; {name} has 28 × 28")
    if len(images) != len(labels):
        raise DataError(
            f"{label_file} holds {len(labels):,} labels for the {len(images):,} images of "
            f"{image_file.name}; download both again"
        )
    wrong = np.flatnonzero(labels >= len(CLASSES[name]))
    if len(wrong):
        raise DataError(
            f"{label_file}: label {wrong[0] + 1} is {labels[wrong[0]]}; {name} has 0 to "
            f"{len(CLASSES[name]) - 1}"
        )
    return images, labels


def _find(name: str, folder: Path, stem: str, dimensions: int) -> Path:
    # The dot is what some programs make of the dash when they unpack.
    files = [f"{stem}-idx{dimensions}-ubyte", f"{stem}.idx{dimensions}-ubyte"]
    return find_file(name, folder, *files, *(f"{file}.gz" for file in files))


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """The values of an IDX file of bytes.

    Args:
        path: the file.
        dimensions: that it must have.

    Raises:
        DataError: another format, or another length than its head says; names the file.
    """
    head = 4 + 4 * dimensions
    raw = _content(path, head)
    wanted = bytes((0, 0, UNSIGNED_BYTE, dimensions))
    if raw[:4] != wanted:
        raise DataError(
            f"{path} begins with {raw[:4].hex() or 'nothing'}, not with {wanted.hex()}: it is no "
            f"IDX file of bytes in {dimensions} dimension{'s' * (dimensions > 1)}"
            + (f" but {found}" if (found := sniff(path)) and path.suffix != ".gz" else "")
        )
    if len(raw) < head:
        raise DataError(f"{path} is cut short: it ends inside its head, after {len(raw)} bytes")
    shape = _shape(raw[:head])
    promised = math.prod(shape)
    if len(raw) - head != promised:
        there = len(raw) - head
        problem, holds = (
            ("is cut short", f"{there:,}") if there < promised else ("is too long", "more")
        )
        raise DataError(
            f"{path} {problem}: its head promises {' × '.join(map(str, shape))} = {promised:,} "
            f"bytes, it holds {holds}; download it again"
        )
    if 0 in shape:
        raise DataError(f"{path} is empty: its head promises {' × '.join(map(str, shape))}")
    return np.frombuffer(raw, dtype=np.uint8, offset=head).reshape(shape)


def _shape(head: bytes | bytearray) -> tuple[int, ...]:
    return tuple(int(size) for size in np.frombuffer(head, dtype=">u4", offset=4))


def _content(path: Path, head: int) -> bytes:
    """All of a file; of a packed one no more than its head promises, and a byte beyond."""
    if path.suffix != ".gz":
        return path.read_bytes()
    try:
        with gzip.open(path) as file:
            raw = bytearray(file.read(head))
            end = head + math.prod(_shape(raw)) + 1 if len(raw) == head else head
            while len(raw) < end and (block := file.read(min(end - len(raw), BLOCK_BYTES))):
                raw += block
            return bytes(raw)
    except (EOFError, zlib.error) as error:
        raise DataError(f"{path} is cut short or damaged: {error}; download it again") from error
    except gzip.BadGzipFile as error:
        found = sniff(path)
        raise DataError(
            f"{path} is no whole gzip file"
            + (f" but {found}" if found and "gzip" not in found else f": {error}")
            + "; download it again"
        ) from error
