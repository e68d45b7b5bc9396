"""Folders of pictures and texts: classes, sizes and channels, and what can't be read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from modelyard.data.dataset import Dataset, load
from modelyard.data.describe import describe
from modelyard.data.partition import partition
from modelyard.errors import DataError
from modelyard.experiment.model import Data
from tests.support.published import write_picture

GREY = np.arange(20, dtype=np.uint8).reshape(4, 5)
COLOUR = np.stack([GREY, GREY + 1, GREY + 2], axis=-1)


def pictures(root: Path, *, count: int = 3, values: Any = COLOUR, ending: str = "png") -> Path:
    """A folder with classes cat and dog."""
    for name in ("cat", "dog"):
        for i in range(count):
            write_picture(root / name / f"{i}.{ending}", values)
    return root


def loaded(root: Path, **data: Any) -> Dataset:
    """The folder as a data set."""
    return load(Data(source=root.name, **data), root.parent)


def refusal(root: Path) -> str:
    """The message with which a folder is refused."""
    with pytest.raises(DataError) as caught:
        loaded(root)
    return str(caught.value)


@pytest.mark.parametrize("ending", ["png", "ppm", "bmp", "PNG", "webp", "jpg"])
def test_pictures(ending: str, tmp_path: Path) -> None:
    """Classes are the folders; pictures of one size are taken as they are."""
    dataset = loaded(pictures(tmp_path / "x", ending=ending))
    assert dataset.card.classes == ("cat", "dog")
    assert dataset.card.shape == (4, 5, 3)
    assert dataset.target.tolist() == [0, 0, 0, 1, 1, 1]
    assert dataset.rows.images is not None
    if ending.lower() in ("png", "ppm", "bmp"):
        assert np.array_equal(dataset.rows.images[4], COLOUR)
    assert not any("resized" in note for note in dataset.card.notes)


def test_grey_pictures_have_one_channel(tmp_path: Path) -> None:
    """Pictures that are all grey stay so."""
    dataset = loaded(pictures(tmp_path / "x", values=GREY))
    assert dataset.card.shape == (4, 5, 1)
    assert dataset.rows.images is not None
    assert np.array_equal(dataset.rows.images[0, :, :, 0], GREY)


def test_sizes_and_channels_are_made_one_and_said(tmp_path: Path) -> None:
    """Several sizes take the middle one; grey among colour becomes colour; both are said."""
    root = pictures(tmp_path / "x")
    write_picture(root / "cat/9.png", np.zeros((40, 50, 3), np.uint8))
    write_picture(root / "dog/grey.png", GREY)
    dataset = loaded(root)
    assert dataset.card.shape == (4, 5, 3)
    assert dataset.rows.images is not None
    assert dataset.rows.images[7, 1, 1].tolist() == [6, 6, 6]
    said = " ".join(dataset.card.notes)
    assert (
        "Images of 2 sizes, 4 × 5 to 40 × 50 pixels (height × width) are resized to 4 × 5" in said
    )
    assert "1 grey images among colour ones become colour: dog/grey.png." in said


def test_large_pictures_are_shrunk(tmp_path: Path) -> None:
    """Pictures larger than networks are made for are shrunk, and it is said."""
    dataset = loaded(pictures(tmp_path / "x", values=np.zeros((300, 600, 3), np.uint8)))
    assert dataset.card.shape == (112, 224, 3)
    assert any(note.startswith("Images of 300 × 600 pixels") for note in dataset.card.notes)


def test_cameras_held_upright(tmp_path: Path) -> None:
    """The orientation that a camera notes in a JPEG is followed."""
    exif = Image.Exif()
    exif[0x0112] = 6
    root = pictures(tmp_path / "x", values=np.zeros((8, 6, 3), np.uint8))
    wide = np.zeros((6, 8, 3), np.uint8)
    wide[:, :4] = 255
    Image.fromarray(wide).save(root / "cat/a.jpg", exif=exif, quality=100)
    dataset = loaded(root)
    assert dataset.card.shape == (8, 6, 3)
    assert dataset.rows.images is not None
    upright = dataset.rows.images[3].mean(axis=(1, 2))
    assert (upright[:4] > 200).all()
    assert (upright[4:] < 50).all()


def test_palettes_and_transparency(tmp_path: Path) -> None:
    """A palette becomes colour; what is transparent is laid on white, not on what it hides."""
    root = pictures(tmp_path / "x")
    clear = np.dstack([COLOUR, np.zeros_like(GREY)])
    write_picture(root / "cat/clear.png", clear)
    write_picture(root / "dog/palette.png", COLOUR, mode="P")
    dataset = loaded(root)
    assert dataset.rows.images is not None
    assert (dataset.rows.images[3] == 255).all()
    assert "1 images are transparent and laid on white: cat/clear.png." in dataset.card.notes


def test_deep_pictures(tmp_path: Path) -> None:
    """Sixteen bits a pixel are kept as float32, and not mixed with eight."""
    deep = GREY.astype(np.uint16) * 3000
    root = pictures(tmp_path / "x", values=deep)
    dataset = loaded(root)
    assert dataset.rows.images is not None
    assert dataset.rows.images.dtype == np.float32
    assert np.array_equal(dataset.rows.images[0, :, :, 0], deep)
    write_picture(root / "dog/9.png", GREY)
    assert "cat/0.png has more than 8 bits a pixel where dog/9.png has 8" in refusal(root)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("dog/2.png", b"", "dog/2.png is empty (0 bytes)"),
        ("dog/2.png", b"\x89PNG\r\n\x1a\n" + b"\0" * 9, "dog/2.png is a damaged picture"),
        ("dog/2.png", b"GIF89a" + b"\0" * 20, "dog/2.png is no picture that is read: a GIF image"),
        ("dog/2.png", b"<html>", "dog/2.png is no picture that is read: an HTML page"),
        ("dog/2.ppm", b"P6 9 9 255 \0\0", "dog/2.ppm is damaged or cut short"),
        ("dog/2.ppm", b"P6 9 x 255 \0\0", "dog/2.ppm is damaged or cut short"),
    ],
)
def test_damaged_pictures(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    """A picture that can't be read is named by its file."""
    root = pictures(tmp_path / "x")
    (root / name).write_bytes(content)
    assert message in refusal(root)


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "bmp"])
def test_pictures_cut_short(ending: str, tmp_path: Path) -> None:
    """Half a picture is refused, never filled up with grey."""
    noise = np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)
    root = pictures(tmp_path / "x", values=noise, ending=ending)
    whole = (root / f"cat/1.{ending}").read_bytes()
    (root / f"cat/1.{ending}").write_bytes(whole[: len(whole) // 2])
    assert f"cat/1.{ending} is damaged or cut short" in refusal(root)


def test_published_parts_of_a_folder(tmp_path: Path) -> None:
    """Folders called train, validation and test are parts and stay what they are."""
    for part in ("train", "val", "test"):
        pictures(tmp_path / "x" / part, count=2)
    data = Data(source="x")
    dataset = load(data, tmp_path)
    parts = partition(dataset, data, 7)
    assert dataset.card.classes == ("cat", "dog")
    assert [len(part) for part in parts] == [4, 4, 4]
    names = dataset.table.names
    assert names is not None
    assert {names[i].split("/")[0] for i in parts.validation} == {"val"}


def test_what_is_not_used_is_said(tmp_path: Path) -> None:
    """Other files, empty folders and pictures outside them are said; hidden ones don't count."""
    root = pictures(tmp_path / "x")
    (root / "cat/notes.md").write_text("x")
    (root / "cat/.DS_Store").write_text("x")
    (root / ".git").mkdir()
    (root / "owl").mkdir()
    (root / "owl/readme.md").write_text("x")
    write_picture(root / "loose.png", GREY)
    notes = loaded(root).card.notes
    assert "2 other files in the folders are not used: cat/notes.md, owl/readme.md." in notes
    assert "Folders without an example are no classes: owl." in notes
    assert "Files outside the folders of classes are not used: loose.png." in notes


def test_folders_that_hold_nothing_to_read(tmp_path: Path) -> None:
    """A folder without classes, without examples, or with both kinds is refused with the fix."""
    (tmp_path / "a").mkdir()
    assert "a folder of pictures or texts for each class" in refusal(tmp_path / "a")
    (tmp_path / "a/b").mkdir()
    assert "has no pictures" in refusal(tmp_path / "a")
    (tmp_path / "a/b/1.tif").write_bytes(b"II*")
    assert "such as cats/1.png and dogs/1.png; it has b/1.tif" in refusal(tmp_path / "a")
    root = pictures(tmp_path / "x")
    (root / "dog/a.txt").write_text("bark")
    assert "holds both pictures (cat/0.png) and texts (dog/a.txt)" in refusal(root)


def test_parts_that_are_not_whole(tmp_path: Path) -> None:
    """Folders train and validation without a test, and a test without examples, are refused."""
    pictures(tmp_path / "x/train")
    pictures(tmp_path / "x/val")
    assert refusal(tmp_path / "x").startswith("x has the folders train and val, which are parts")
    pictures(tmp_path / "y/test")
    pictures(tmp_path / "y/validation")
    assert "test and validation, which are parts and no classes" in refusal(tmp_path / "y")
    (tmp_path / "x/test/cat").mkdir(parents=True)
    with pytest.raises(DataError, match="its test part is empty"):
        describe(Data(source="x"), tmp_path)


def test_a_folder_beside_parts(tmp_path: Path) -> None:
    """A third folder beside train and test makes no classes of them; what archivers leave may."""
    root = tmp_path / "x"
    for part in ("train", "test"):
        pictures(root / part, count=1)
    (root / "__MACOSX/train/cat").mkdir(parents=True)
    (root / "__MACOSX/train/cat/._0.png").write_bytes(b"x")
    write_picture(root / "train/cat/.cache/0.png", GREY)
    dataset = loaded(root)
    assert (dataset.card.classes, dataset.card.rows) == (("cat", "dog"), 4)
    (root / "extra").mkdir()
    assert refusal(root) == (
        "x has the parts train and test and, beside them, extra, which is no part; move it away, "
        "or put the folders of the classes there instead"
    )
    Path(os.fsdecode(os.fsencode(root) + b"/caf\xe9")).mkdir()
    assert "beside them, caf\N{REPLACEMENT CHARACTER}, extra, which are no parts; move them" in (
        refusal(root)
    )


def test_classes_named_by_numbers(tmp_path: Path) -> None:
    """Folders are classes though most of their names are numbers and one isn't."""
    root = tmp_path / "x"
    for name in (*map(str, range(21)), "1,5", "unknown"):
        (root / name).mkdir(parents=True)
        for i in range(3):
            (root / name / f"{i}.txt").write_text(f"{name} {i}")
    assert len(loaded(root).card.classes) == 23


def test_odd_files(tmp_path: Path) -> None:
    """A link that leads nowhere, and a class whose name nobody can write, are refused by name."""
    root = pictures(tmp_path / "x")
    (root / "cat/4.png").symlink_to(root / "nowhere.png")
    assert "cat/4.png can't be read: No such file or directory" in refusal(root)
    (root / "cat/4.png").unlink()
    (root / "cat/4.png").symlink_to(root / "cat/4.png")
    assert "cat/4.png can't be read: Too many levels of symbolic links" in refusal(root)
    (root / "cat/4.png").unlink()
    Path(os.fsdecode(os.fsencode(root) + b"/caf\xe9")).mkdir()
    assert refusal(root).startswith("x: a class must have a name in UTF-8; rename its folder b'caf")
    assert "rename its folder b'caf\\xe9'" in refusal(root)


def test_pictures_beyond_all_measure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture that would unpack to gigabytes is too large, not damaged; half of it is read."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    root = pictures(tmp_path / "x")
    write_picture(root / "cat/0.png", np.zeros((10, 20), np.uint8))
    assert loaded(root).card.rows == 6
    write_picture(root / "cat/0.png", np.zeros((10, 21), np.uint8))
    assert "cat/0.png is too large: Image size (210 pixels)" in refusal(root)


def test_a_class_with_one_example_is_named_by_its_file(tmp_path: Path) -> None:
    """A class too small to be split is refused with the file that it has."""
    root = pictures(tmp_path / "x")
    write_picture(root / "owl/only.png", COLOUR)
    with pytest.raises(DataError, match=r"class 'owl' has too few rows .* 1 \(owl/only\.png\)"):
        describe(Data(source="x"), tmp_path)


def test_a_folder_of_texts(tmp_path: Path) -> None:
    """Text files are texts; another encoding is named with file, byte and fix."""
    for name in ("ham", "spam"):
        (tmp_path / "x" / name).mkdir(parents=True)
        for i in range(3):
            (tmp_path / "x" / name / f"{i}.txt").write_text(f"{name} größer {i}\n", "utf-8-sig")
    dataset = loaded(tmp_path / "x")
    assert dataset.card.kind == "text"
    assert dataset.rows.texts is not None
    assert list(dataset.rows.texts)[3] == "spam größer 0"
    (tmp_path / "x/ham/1.txt").write_bytes("größer".encode("latin-1"))
    assert "ham/1.txt is not UTF-8: byte 3 is 0xf6; save it as UTF-8" in refusal(tmp_path / "x")
    (tmp_path / "x/ham/1.txt").write_bytes("plain".encode("utf-16-le"))
    assert "ham/1.txt is no plain text: it is UTF-16 text" in refusal(tmp_path / "x")
    (tmp_path / "x/ham/1.txt").write_bytes("\ufeff漢字".encode("utf-16-be"))
    assert "ham/1.txt is no plain text: it is UTF-16 text" in refusal(tmp_path / "x")
    for path in (tmp_path / "x").rglob("*.txt"):
        path.write_bytes(b"")
    assert "x has only empty texts in 'text'" in refusal(tmp_path / "x")


@pytest.mark.parametrize("kind", ["table", "text"])
def test_kinds_that_do_not_fit(kind: str, tmp_path: Path) -> None:
    """Pictures may be taken as a table of pixels, but not as texts."""
    root = pictures(tmp_path / "x")
    if kind == "table":
        assert len(loaded(root, kind="table").card.columns) == 60
    else:
        with pytest.raises(DataError, match="holds images, not texts") as caught:
            loaded(root, kind=kind)
        assert caught.value.valid == ("image", "table")
