"""Published sets: their names, where they are published, and the folder they are read from.

A checksum stands here only where its publisher, or a library that fetches the same file, states
one; the page ``docs/datasets.md`` says which. The exoplanet tables change from week to week.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from modelyard.data.table import listed
from modelyard.errors import DataError
from modelyard.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Download:
    """One file to fetch.

    Args:
        url: where it is published.
        file: its name in the set's folder.
        md5: stated by its publisher or by a library that fetches it; None where nobody does.
        holds: of an archive, the last thing that it unpacks to; None of a plain file.
    """

    url: str
    file: str
    md5: str | None = None
    holds: str | None = None


@dataclass(frozen=True, kw_only=True)
class Published:
    """One set.

    Args:
        title: what it is, in a phrase.
        page: where its authors describe it.
        downloads: its files; archives are unpacked beside themselves.
    """

    title: str
    page: str
    downloads: tuple[Download, ...]


def _idx(base: str, *sums: str) -> tuple[Download, ...]:
    files = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
    return tuple(
        Download(url=f"{base}/{file}-ubyte.gz", file=f"{file}-ubyte.gz", md5=md5)
        for file, md5 in zip(files, sums, strict=True)
    )


def _archive(table: str) -> tuple[Download, ...]:
    query = f"query=select+*+from+{table}&format=csv"
    url = f"https://exoplanetarchive.ipac.caltech.edu/TAP/sync?{query}"
    return (Download(url=url, file=f"{table}.csv"),)


_CIFAR = "https://www.cs.toronto.edu/~kriz"
_ERDA = "https://sid.erda.dk/public/archives/daaeac0d7ce1152aea9b61d9f1e19370"
_EXOPLANETS = "https://exoplanetarchive.ipac.caltech.edu/docs"

PUBLISHED = MappingProxyType(
    {
        "mnist": Published(
            title="handwritten digits, 70,000 grey images of 28 × 28",
            page="http://yann.lecun.com/exdb/mnist/",
            downloads=_idx(
                "https://ossci-datasets.s3.amazonaws.com/mnist",
                "f68b3c2dcbeaaa9fbdd348bbdeb94873",
                "d53e105ee54ea40749a09fcbcd1e9432",
                "9fb629c4189551a2d022fa330f9573f3",
                "ec29112dd5afa0611ce80d1b7f02629c",
            ),
        ),
        "fashion-mnist": Published(
            title="articles of clothing, 70,000 grey images of 28 × 28",
            page="https://github.com/zalandoresearch/fashion-mnist",
            downloads=_idx(
                "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
                "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
                "25c81989df183df01b3e8a0aad5dffbe",
                "bef4ecab320f06d8554ea6380940ec79",
                "bb300cfdad3c16e7a12a480ee83cd310",
            ),
        ),
        "cifar-10": Published(
            title="objects and animals, 60,000 colour images of 32 × 32 in 10 classes",
            page=f"{_CIFAR}/cifar.html",
            downloads=(
                Download(
                    url=f"{_CIFAR}/cifar-10-binary.tar.gz",
                    file="cifar-10-binary.tar.gz",
                    md5="c32a1d4ab5d03f1284b67883e8d87530",
                    holds="cifar-10-batches-bin",
                ),
            ),
        ),
        "cifar-100": Published(
            title="objects and animals, 60,000 colour images of 32 × 32 in 100 classes",
            page=f"{_CIFAR}/cifar.html",
            downloads=(
                Download(
                    url=f"{_CIFAR}/cifar-100-binary.tar.gz",
                    file="cifar-100-binary.tar.gz",
                    md5="03b5dce01913d631647c71ecec9e9cb8",
                    holds="cifar-100-binary",
                ),
            ),
        ),
        "gtsrb": Published(
            title="German traffic signs, 51,839 colour images of many sizes in 43 classes",
            page="https://benchmark.ini.rub.de/gtsrb_dataset.html",
            downloads=(
                Download(
                    url=f"{_ERDA}/GTSRB_Final_Training_Images.zip",
                    file="GTSRB_Final_Training_Images.zip",
                    holds="GTSRB/Final_Training",
                ),
                Download(
                    url=f"{_ERDA}/GTSRB_Final_Test_Images.zip",
                    file="GTSRB_Final_Test_Images.zip",
                    md5="c7e4e6327067d32654124b0fe9e82185",
                    holds="GTSRB/Final_Test",
                ),
                Download(
                    url=f"{_ERDA}/GTSRB_Final_Test_GT.zip",
                    file="GTSRB_Final_Test_GT.zip",
                    md5="fe31e9c9270bbcd7b84b7f21a9d9d9e5",
                    holds="GT-final_test.csv",
                ),
            ),
        ),
        "imdb": Published(
            title="film reviews, 50,000 texts, good and bad",
            page="https://ai.stanford.edu/~amaas/data/sentiment/",
            downloads=(
                Download(
                    url="https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz",
                    file="aclImdb_v1.tar.gz",
                    md5="7c2ac02c03563afcf9b574c7e56c153a",
                    holds="aclImdb",
                ),
            ),
        ),
        "reuters": Published(
            title="newswire of 1987, 21,578 texts with topics (Reuters-21578)",
            page="https://archive.ics.uci.edu/dataset/137/reuters+21578+text+categorization+collection",
            downloads=(
                Download(
                    url="https://archive.ics.uci.edu/ml/machine-learning-databases/"
                    "reuters21578-mld/reuters21578.tar.gz",
                    file="reuters21578.tar.gz",
                    holds="reut2-021.sgm",
                ),
            ),
        ),
        "kepler": Published(
            title="Kepler objects of interest, a table of candidates for planets",
            page=f"{_EXOPLANETS}/API_kepcandidate_columns.html",
            downloads=_archive("cumulative"),
        ),
        "tess": Published(
            title="TESS objects of interest, a table of candidates for planets",
            page=f"{_EXOPLANETS}/API_TOI_columns.html",
            downloads=_archive("toi"),
        ),
        "k2": Published(
            title="K2 planets and candidates, a table",
            page=f"{_EXOPLANETS}/API_k2pandc_columns.html",
            downloads=_archive("k2pandc"),
        ),
    }
)
"""Every published set by its name in ``data.source``."""


def set_folder(name: str) -> Path:
    """Where a set's files lie."""
    return Settings().datasets_folder / name


def find_file(name: str, folder: Path, *files: str) -> Path:
    """A file of a set under any of its names, in the folder or up to two folders below it.

    Raises:
        DataError: it isn't there; says how it gets there.
    """
    for depth in ("", "*/", "*/*/"):
        for file in files:
            if found := sorted(path for path in folder.glob(depth + file) if path.is_file()):
                return found[0]
    raise absent(name, folder, files[:1])


def absent(name: str, folder: Path, files: Sequence[str]) -> DataError:
    """The error that files of a set aren't there."""
    are = "is" if len(files) == 1 else "are"
    packed = [
        download.file
        for download in PUBLISHED[name].downloads
        if download.holds is not None and (folder / download.file).is_file()
    ]
    if len(packed) == len(PUBLISHED[name].downloads):
        fix = f"`modelyard data get {name}` unpacks {listed(packed)}, which lies there"
    else:
        fix = (
            f"`modelyard data get {name}` downloads it, or put it there yourself: docs/datasets.md "
            "says from where (MODELYARD_DATASETS names the folder of all sets)"
        )
    return DataError(f"{name}: {listed(files)} {are} not in {folder}; {fix}", value=name)


def count_note(name: str, found: tuple[int, int], published: tuple[int, int]) -> tuple[str, ...]:
    """A sentence where a set doesn't have the rows that it is published with.

    Args:
        found: rows for training and test.
        published: the same as its authors count them.
    """
    if found == published:
        return ()
    return (
        f"{name} has {found[0]:,} rows for training and {found[1]:,} for testing here, where "
        f"{published[0]:,} and {published[1]:,} are published.",
    )


KEPT_TEST = (
    "The published test part stays the test part, so that figures can be compared; validation "
    "rows come from the training part, and data.split.test counts for nothing."
)
"""Said of every set that has a test part of its own."""
