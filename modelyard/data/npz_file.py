"""Reading NPZ: images or features in one array, the target in another."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from modelyard.data.columns import of_booleans, of_numbers, of_texts
from modelyard.data.rows import Column
from modelyard.data.sniff import sniff
from modelyard.data.table import Table, listed
from modelyard.errors import DataError

INPUTS = ("x", "X", "images", "data")
TARGETS = ("y", "labels", "target")

UNREADABLE = (RuntimeError, MemoryError, SyntaxError, TypeError, OverflowError, TokenError)
"""What NumPy raises of an array that is encrypted, promises what isn't there, or has a head that
is no longer Python; beside ``ValueError``."""

MEMORY_SHARE = 0.5
"""Of the machine's memory, what packed arrays may fill together; they are copied at least once.

How much smaller they are packed tells nothing: one-hot codes of 1,000 classes pack 600 times,
masks as well as that, and zeros, which zip bombs are made of, 1,000 times.
"""


def read_npz(path: Path, title: str) -> Table:
    """The arrays of an NPZ file.

    One of ``INPUTS`` holds images (n, H, W) or (n, H, W, C), or features (n, features); one of
    ``TARGETS`` holds (n,). Any other array (n,) is a further column.

    Raises:
        DataError: names the array at fault, and the row where there is one.
    """
    found = sniff(path)
    if not zipfile.is_zipfile(path):
        whole = "cut short or damaged" if (found or "").startswith("a ZIP") else None
        raise DataError(f"{title} is not NPZ: it is {whole or found or 'text'}")
    arrays = _arrays(path, title)
    inputs = _pick(arrays, INPUTS, "the inputs", title)
    target = _pick(arrays, TARGETS, "the target", title)
    x = arrays.pop(inputs)
    _refuse_inputs(x, inputs, title)
    columns = {} if x.ndim > 2 else {f"x{j}": of_numbers(x[:, j]) for j in range(x.shape[1])}
    flat = {name: _flat(array) for name, array in arrays.items()}
    if flat[target].shape != (len(x),):
        raise DataError(
            f"{title}, array {target!r} has shape {arrays[target].shape} where {inputs!r} has "
            f"{len(x)} rows; it must be ({len(x)},)"
        )
    fitting = {name: array for name, array in flat.items() if array.shape == (len(x),)}
    unused = [name for name in flat if name not in fitting]
    return Table(
        title=title,
        columns=columns | {name: _column(array, name, title) for name, array in fitting.items()},
        images=_images(x, inputs, title) if x.ndim > 2 else None,
        target=target,
        integers=frozenset(name for name, array in arrays.items() if array.dtype.kind in "ui"),
        notes=(f"Arrays that don't fit the rows are not used: {listed(unused)}.",)
        if unused
        else (),
    )


def _refuse_inputs(x: NDArray[Any], name: str, title: str) -> None:
    if x.ndim not in (2, 3, 4) or x.dtype.kind not in "buif":
        raise DataError(
            f"{title}, array {name!r} has shape {x.shape} and type {x.dtype}; images are numbers "
            "(n, H, W) or (n, H, W, C), features (n, features)"
        )
    if len(x) == 0:
        raise DataError(f"{title} has no rows: array {name!r} has shape {x.shape}")


def _flat(array: NDArray[Any]) -> NDArray[Any]:
    """A column that is kept as (n, 1) is one of (n,)."""
    return array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array


def _arrays(path: Path, title: str) -> dict[str, NDArray[Any]]:
    name = ""
    arrays: dict[str, NDArray[Any]] = {}
    try:
        _refuse_bomb(path, title)
        with np.load(path, allow_pickle=False) as file:
            for name in file.files:
                arrays[name] = file[name]
                if not isinstance(arrays[name], np.ndarray):
                    raise DataError(f"{title} holds {name!r}, which is no NumPy array")
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise DataError(f"{title}{_said(name)} is damaged: {error}") from error
    except (*UNREADABLE, ValueError) as error:
        if not isinstance(error, ValueError) or "pickle" not in str(error):
            raise DataError(f"{title}{_said(name)} can't be read: {error}") from error
        raise DataError(
            f"{title}, array {name!r} holds pickled objects, which are not read: unpickling runs "
            "whatever code the file holds. Save it as numbers, or as text with .astype(str)"
        ) from error
    return arrays


def _said(name: str) -> str:
    return f", array {name!r}" if name else ""


def _refuse_bomb(path: Path, title: str) -> None:
    """Arrays that would fill the memory are not unpacked to see what they hold.

    Those that aren't packed are as large as the file, which is no surprise to anybody.
    """
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    packed = sum(entry.compress_size for entry in entries)
    whole = sum(entry.file_size for entry in entries)
    if whole > packed and whole > MEMORY_SHARE * (memory := psutil.virtual_memory().total):
        largest = max(entries, key=lambda entry: entry.file_size)
        raise DataError(
            f"{title} unpacks from {packed:,} to {whole:,} bytes (most of them array "
            f"{largest.filename.removesuffix('.npy')!r}), and this machine has {memory:,} bytes of "
            "memory; keep fewer rows or a smaller type, or take a machine with more"
        )


def _pick(arrays: dict[str, NDArray[Any]], names: tuple[str, ...], role: str, title: str) -> str:
    found = [name for name in names if name in arrays]
    if len(found) == 1:
        return found[0]
    problem = f"has no array with {role}" if not found else f"has {' and '.join(found)} for {role}"
    raise DataError(
        f"{title} {problem}; there must be one of {', '.join(names)}. "
        f"It holds: {listed(arrays) or 'nothing'}"
    )


def _column(array: NDArray[Any], name: str, title: str) -> Column:
    if array.dtype.kind == "b":
        return of_booleans(array, np.zeros(len(array), dtype=bool))
    if array.dtype.kind in "uif":
        return of_numbers(array)
    if array.dtype.kind == "S":
        array = _decoded(array, name, title)
    if array.dtype.kind in "UT":
        return of_texts(array.tolist())
    raise DataError(
        f"{title}, array {name!r} has type {array.dtype}, which is no number, text or boolean"
    )


def _decoded(array: NDArray[np.bytes_], name: str, title: str) -> NDArray[np.str_]:
    try:
        return np.char.decode(array, "utf-8")
    except UnicodeDecodeError as error:
        row = next(i for i, cell in enumerate(array) if error.object == cell)
        raise DataError(
            f"{title}, array {name!r}, row {row + 1} is not UTF-8: {error.object[:60]!r}; save it "
            "as text, with np.char.decode(array, 'latin-1') perhaps"
        ) from error


def _images(x: NDArray[Any], name: str, title: str) -> NDArray[Any]:
    """Images (n, H, W, C), whole numbers from 0 to 255 as uint8, all others as float32."""
    images = x[..., np.newaxis] if x.ndim == 3 else x
    if images.shape[3] > 4 and images.shape[1] <= 4:
        raise DataError(
            f"{title}, array {name!r} has shape {x.shape}: the channels come last, "
            f"(n, H, W, C); use np.moveaxis(images, 1, -1)"
        )
    if 0 in images.shape:
        raise DataError(f"{title}, array {name!r} has shape {x.shape}: there are no pixels")
    return compact(images, name, title)


def compact(images: NDArray[Any], name: str, title: str) -> NDArray[Any]:
    """Images in the smallest of uint8 and float32 that holds their values.

    Raises:
        DataError: a pixel is NaN, infinite, or beyond float32; names the image.
    """
    if images.dtype.kind in "bu" and images.dtype.itemsize == 1:
        return images.astype(np.uint8)
    small = images.astype(np.uint8) if images.min() >= 0 and images.max() <= 255 else None
    if small is not None and np.array_equal(small, images):
        return small
    with np.errstate(over="ignore"):
        large = images.astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(large).all(axis=(1, 2, 3)))
    if len(bad):
        raise DataError(
            f"{title}, array {name!r}, row {bad[0] + 1} has a pixel that is NaN, infinite or "
            "beyond float32; mend it, or leave the image out"
        )
    return large
