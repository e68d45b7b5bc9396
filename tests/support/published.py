"""Published sets in small: written in their true formats, with few rows."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def idx(values: NDArray[Any], magic: bytes | None = None) -> bytes:
    """An IDX file of bytes."""
    head = magic or bytes((0, 0, 8, values.ndim))
    return head + struct.pack(f">{values.ndim}I", *values.shape) + values.astype(np.uint8).tobytes()


def write_mnist(folder: Path, *, train: int = 40, test: int = 20, packed: bool = True) -> None:
    """MNIST, gzipped as it is published or not: class i is a bright column i."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, count in (("train", train), ("t10k", test)):
        labels = np.arange(count) % 10
        images = np.zeros((count, 28, 28))
        images[np.arange(count), :, labels * 2] = 200
        for name, values in (("images-idx3", images), ("labels-idx1", labels)):
            content = idx(values)
            path = folder / f"{part}-{name}-ubyte{'.gz' if packed else ''}"
            path.write_bytes(gzip.compress(content) if packed else content)


def write_cifar_10(folder: Path, *, rows: int = 10) -> None:
    """CIFAR-10's binary version, unpacked: pixel (0, 0) holds 1, 2, 3 in red, green, blue."""
    root = folder / "cifar-10-batches-bin"
    root.mkdir(parents=True)
    for file in (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"):
        records = np.zeros((rows, 3073), np.uint8)
        records[:, 0] = np.arange(rows) % 10
        records[:, [1, 1025, 2049]] = (1, 2, 3)
        records.tofile(root / file)
    names = "airplane automobile bird cat deer dog frog horse ship truck"
    (root / "batches.meta.txt").write_text("\n".join(names.split()) + "\n\n")


def write_cifar_100(folder: Path) -> None:
    """CIFAR-100's binary version, unpacked: two training rows and one test row of each class."""
    root = folder / "cifar-100-binary"
    root.mkdir(parents=True)
    for file, rows in (("train.bin", 200), ("test.bin", 100)):
        records = np.zeros((rows, 3074), np.uint8)
        records[:, 1] = np.arange(rows) % 100
        records[:, 0] = records[:, 1] // 5
        records.tofile(root / file)
    for name, count in (("coarse", 20), ("fine", 100)):
        text = "".join(f"{name}_{i}\n" for i in range(count))
        (root / f"{name}_label_names.txt").write_text(text)


def write_picture(path: Path, values: Any, mode: str | None = None) -> None:
    """A picture file of an array; its format by its ending."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(values))
    (image.convert(mode) if mode else image).save(path)


SIGNS = "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId\n"


def write_gtsrb(folder: Path, *, classes: Sequence[int] = (0, 7), tracks: int = 4) -> None:
    """GTSRB, unpacked: three images of several sizes in each track, two test images a class."""
    train = folder / "GTSRB/Final_Training/Images"
    test = folder / "GTSRB/Final_Test/Images"
    answers = SIGNS
    for number in classes:
        lines = SIGNS
        for track in range(tracks):
            for frame in range(3):
                name, size = f"{track:05}_{frame:05}.ppm", 15 + 10 * frame
                write_picture(
                    train / f"{number:05}" / name, np.full((size, size + 1, 3), number, np.uint8)
                )
                lines += f"{name};{size + 1};{size};5;5;10;10;{number}\n"
        (train / f"{number:05}" / f"GT-{number:05}.csv").write_text(lines)
        for _ in range(2):
            name = f"{answers.count('ppm'):05}.ppm"
            write_picture(test / name, np.full((40, 40, 3), number, np.uint8))
            answers += f"{name};40;40;5;5;35;35;{number}\n"
    (folder / "GT-final_test.csv").write_text(answers)


def write_imdb(folder: Path, *, reviews: int = 4) -> None:
    """IMDB, unpacked, with some reviews a folder."""
    words = {
        "pos": "I loved it<br /><br />Great!",
        "neg": "I didn't like it; caf\u00e9 scenes",
        "unsup": "?",
    }
    for part in ("train", "test"):
        for mark in ("pos", "neg", *(("unsup",) if part == "train" else ())):
            root = folder / "aclImdb" / part / mark
            root.mkdir(parents=True)
            for i in range(reviews):
                (root / f"{i}_7.txt").write_text(f"{words[mark]} {part}{i}", encoding="utf-8")


def sgml(
    number: int, topics: Sequence[str], text: str, *, split: str = "TRAIN", used: str = "YES"
) -> str:
    """One document of Reuters-21578."""
    marks = "".join(f"<D>{topic}</D>" for topic in topics)
    return (
        f'<REUTERS TOPICS="{used}" LEWISSPLIT="{split}" CGISPLIT="TRAINING-SET" OLDID="1" '
        f'NEWID="{number}">\n<DATE>26-FEB-1987</DATE>\n<TOPICS>{marks}</TOPICS>\n'
        f"<PLACES><D>usa</D></PLACES>\n<UNKNOWN>&#5;&#5;C</UNKNOWN>\n<TEXT>&#2;\n"
        f"<TITLE>{text}</TITLE>\n<DATELINE>NEW YORK - </DATELINE><BODY>{text} said.\n"
        " Reuter\n&#3;</BODY></TEXT>\n</REUTERS>\n"
    )


DOCTYPE = '<!DOCTYPE lewis SYSTEM "lewis.dtd">\n'


def write_reuters(folder: Path) -> None:
    """Two files of Reuters-21578; 13 documents of two topics count."""
    folder.mkdir(parents=True, exist_ok=True)
    single = [sgml(i, [("earn", "acq")[i % 2]], f"Profit {i} &lt;X &amp; Y>") for i in range(8)]
    tests = [sgml(20 + i, [("earn", "acq")[i % 2]], f"Test {i}", split="TEST") for i in range(5)]
    others = [
        sgml(40, ["earn", "acq"], "two topics"),
        sgml(41, [], "none"),
        sgml(42, ["rare"], "one only"),
        sgml(43, ["earn"], "not used", split="NOT-USED"),
        sgml(44, ["earn"], "bypassed", used="BYPASS"),
    ]
    (folder / "reut2-000.sgm").write_text(DOCTYPE + "".join(single))
    content = DOCTYPE + "".join([*tests, *others]) + sgml(45, ["earn"], "M\u00fcnchen")
    (folder / "reut2-001.sgm").write_bytes(content.encode("latin-1"))


def write_kepler(folder: Path, *, rows: int = 60) -> Path:
    """The archive's table of Kepler's candidates: comments first, two planets a star."""
    folder.mkdir(parents=True, exist_ok=True)
    words = ("CONFIRMED", "FALSE POSITIVE", "CANDIDATE", "")
    lines = [
        "# This file was produced by the NASA Exoplanet Archive",
        '# COLUMN kepid: "KepID", as it stands',
        "#",
        "kepid,kepoi_name,kepler_name,koi_disposition,koi_pdisposition,koi_score,koi_fpflag_nt,"
        "koi_period,koi_prad,koi_comment",
    ]
    for i in range(rows):
        word = words[i % 4]
        size = "" if i % 5 == 0 else str(1 + i % 4 + i / 100)
        lines.append(f"{1000 + i // 2},K{i:05}.01,,{word},{word},0.9,0,{i * 1.5},{size},x---y")
    path = folder / "cumulative_2026.01.01.csv"
    path.write_text("\n".join(lines) + "\n")
    return path
