"""Picture files become one stack of images: one size, one number of channels."""

from __future__ import annotations

import io
import struct
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from modelyard.data.sniff import sniff
from modelyard.data.table import SHOWN, listed
from modelyard.errors import DataError

SUFFIXES = (".png", ".jpg", ".jpeg", ".ppm", ".pgm", ".bmp", ".webp")
FORMATS = ("PNG", "JPEG", "PPM", "BMP", "WEBP")

LARGEST_SIDE = 224
"""Pixels of the longer side that larger pictures are shrunk to: what networks are made for."""

_ORIENTATION = 0x0112
"""EXIF tag; from 5 on the camera was held upright, and height and width change places."""

_COLOUR = ("RGB", "RGBA", "CMYK", "YCbCr", "HSV", "LAB", "P", "PA", "RGBX", "RGBa")
_DEEP = ("I", "F", "I;16", "I;16B", "I;16L")
"""Modes whose pixels hold more than a byte."""

Size = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """Pictures as one array.

    Args:
        images: (n, H, W, C) uint8, or float32 of pictures with more than 8 bits a pixel.
        notes: what was done to make them alike, in whole sentences.
    """

    images: NDArray[Any]
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _Look:
    """What a file's head says."""

    size: Size
    colour: bool
    deep: bool
    transparent: bool


def read_pictures(
    paths: Sequence[Path],
    names: Sequence[str],
    size: Size | None = None,
    colour: bool | None = None,
) -> Pictures:
    """Read picture files.

    They keep their size where all have the same one, and take the middle height and width
    where not, at most ``LARGEST_SIDE``. Greyscale among colour becomes colour.

    Args:
        paths: the files, at least one.
        names: what messages call them.
        size: height and width to take in any case.
        colour: make all of them colour, or grey; None for colour where any of them is.

    Raises:
        DataError: a file is no picture, or damaged, or has more than 8 bits where others have not
            or colour is asked for; names it.
    """
    looks = [_look(path, name) for path, name in zip(paths, names, strict=True)]
    deep = np.array([look.deep for look in looks])
    if deep.any() and not (deep.all() and not any(look.colour for look in looks)):
        odd, other = names[int(np.argmax(deep))], names[int(np.argmin(deep))]
        raise DataError(
            f"{odd} has more than 8 bits a pixel where {other} has 8; save all of them alike",
            value=odd,
        )
    colour = any(look.colour for look in looks) if colour is None else colour
    if deep.any() and colour:
        raise DataError(
            f"{names[0]} is grey with more than 8 bits a pixel, and colour has 8 a channel; save "
            "it with 8",
            value=names[0],
        )
    height, width = size or _common_size([look.size for look in looks])
    images = np.empty(
        (len(paths), height, width, 3 if colour else 1), np.float32 if deep.any() else np.uint8
    )
    mode = "F" if deep.any() else "RGB" if colour else "L"
    for row, (path, name) in enumerate(zip(paths, names, strict=True)):
        with _opened(path, name) as image:
            images[row] = _pixels(image, mode, (height, width)).reshape(images.shape[1:])
    return Pictures(images=images, notes=tuple(_notes(looks, names, (height, width))))


def _look(path: Path, name: str) -> _Look:
    with _opened(path, name) as image:
        width, height = image.size
        upright = image.getexif().get(_ORIENTATION, 1) >= 5
        return _Look(
            size=(width, height) if upright else (height, width),
            colour=image.mode in _COLOUR,
            deep=image.mode in _DEEP,
            transparent=image.has_transparency_data,
        )


def _pixels(image: Image.Image, mode: str, size: Size) -> NDArray[Any]:
    ImageOps.exif_transpose(image, in_place=True)
    if image.has_transparency_data:
        # What a transparent pixel hides is nobody's picture.
        ground = Image.new("RGBA", image.size, "white")
        ground.alpha_composite(image.convert("RGBA"))
        image = ground
    if image.mode == "L":  # a third of the memory that it takes as colour
        image = _resized(image, size)
    return np.asarray(_resized(image.convert(mode), size))


def _resized(image: Image.Image, size: Size) -> Image.Image:
    height, width = size
    if image.size == (width, height):
        return image
    return image.resize((width, height), Image.Resampling.BILINEAR)


@contextmanager
def _opened(path: Path, name: str) -> Iterator[Image.Image]:
    """An opened picture; whatever goes wrong with it names the file."""
    try:
        if path.stat().st_size == 0:
            raise DataError(f"{name} is empty (0 bytes)", value=name)
        with warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning):
            opened = Image.open(path, formats=FORMATS)
        with opened as image:
            yield image
    except UnidentifiedImageError as error:
        found = sniff(path) or "text"
        is_one = found.endswith("image") and not found.startswith("a GIF")
        raise DataError(
            f"{name} is {'a damaged picture' if is_one else f'no picture that is read: {found}'}; "
            f"PNG, JPEG, PPM, BMP and WebP are",
            value=name,
        ) from error
    except Image.DecompressionBombError as error:
        raise DataError(
            f"{name} is too large: {error} Shrink it, or leave it out", value=name
        ) from error
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, struct.error) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        problem = f"can't be read: {reason}" if reason else f"is damaged or cut short: {error}"
        raise DataError(f"{name} {problem}", value=name) from error


def _common_size(sizes: Sequence[Size]) -> Size:
    height, width = (int(np.median([size[side] for size in sizes])) for side in (0, 1))
    shrink = min(1.0, LARGEST_SIDE / max(height, width))
    return max(1, round(height * shrink)), max(1, round(width * shrink))


def _notes(looks: Sequence[_Look], names: Sequence[str], size: Size) -> Iterator[str]:
    sizes = Counter(look.size for look in looks)
    if set(sizes) != {size}:
        small, large = (pick(sizes, key=lambda s: s[0] * s[1]) for pick in (min, max))
        kinds = (
            f"{len(sizes)} sizes, {_by(small)} to {_by(large)}" if len(sizes) > 1 else _by(small)
        )
        yield (
            f"Images of {kinds} pixels (height × width) are resized to {_by(size)}; "
            "proportions are not kept."
        )
    grey = [name for name, look in zip(names, looks, strict=True) if not look.colour]
    if 0 < len(grey) < len(looks):
        yield f"{len(grey)} grey images among colour ones become colour: {listed(grey, SHOWN)}."
    clear = [name for name, look in zip(names, looks, strict=True) if look.transparent]
    if clear:
        yield f"{len(clear)} images are transparent and laid on white: {listed(clear, SHOWN)}."


def _by(size: Size) -> str:
    return f"{size[0]} × {size[1]}"


def thumbnail(image: NDArray[Any], side: int) -> bytes:
    """An image as a small PNG.

    Args:
        image: (H, W, C) of any numbers, which are spread over black to white. Of more than
            three channels the first three are shown, of two the first.
        side: longest side of the PNG in pixels; smaller images stay as they are.
    """
    low, high = float(image.min()), float(image.max())
    spread = ((image.astype(np.float64) - low) / max(high - low, 1e-12) * 255).astype(np.uint8)
    picture = Image.fromarray(spread[..., :3] if image.shape[-1] >= 3 else spread[..., 0])
    picture.thumbnail((side, side))
    buffer = io.BytesIO()
    picture.save(buffer, "png")
    return buffer.getvalue()
