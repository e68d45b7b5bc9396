"""scikit-learn's bundled sets, read from their own files.

``sklearn.datasets`` gives the same values (a test compares them), but importing it takes two
seconds and 180 MB, more than all else that the preparation of such a set does.
"""

from __future__ import annotations

import csv
import gzip
import io
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from modelyard.data.columns import of_numbers
from modelyard.data.npz_file import compact
from modelyard.data.rows import Column
from modelyard.data.table import Table, listed
from modelyard.errors import DataError
from modelyard.experiment.similar import did_you_mean, nearest

PREFIX = "sklearn:"
TARGET = "target"


@dataclass(frozen=True, kw_only=True)
class Bundled:
    """One set: its file, its columns, and the names of its classes."""

    file: str
    columns: tuple[str, ...]
    classes: tuple[str, ...] = ()


_MEASURES = (
    "radius texture perimeter area smoothness compactness concavity",
    "concave points",
    "symmetry",
    "fractal dimension",
)
_CELL = (*_MEASURES[0].split(), *_MEASURES[1:])

BUNDLED = {
    "breast_cancer": Bundled(
        file="breast_cancer.csv",
        columns=(
            *(f"mean {name}" for name in _CELL),
            *(f"{name} error" for name in _CELL),
            *(f"worst {name}" for name in _CELL),
        ),
        classes=("malignant", "benign"),
    ),
    "diabetes": Bundled(
        file="diabetes_data_raw.csv.gz",
        columns=("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"),
    ),
    "digits": Bundled(file="digits.csv.gz", columns=()),
    "iris": Bundled(
        file="iris.csv",
        columns=("sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"),
        classes=("setosa", "versicolor", "virginica"),
    ),
    "wine": Bundled(
        file="wine_data.csv",
        columns=(
            *["alcohol", "malic_acid", "ash", "alcalinity_of_ash", "magnesium", "total_phenols"],
            *["flavanoids", "nonflavanoid_phenols", "proanthocyanins", "color_intensity", "hue"],
            "od280/od315_of_diluted_wines",
            "proline",
        ),
        classes=("class_0", "class_1", "class_2"),
    ),
}


def read_bundled(source: str) -> Table:
    """A set by its name after ``sklearn:``.

    Raises:
        DataError: there is no such set; says which there are.
    """
    name = source.removeprefix(PREFIX)
    if name not in BUNDLED:
        known = nearest(name, BUNDLED)
        near = None if known is None else PREFIX + known
        raise DataError(
            f"{source} is not there: scikit-learn's sets for one target are {listed(BUNDLED)}"
            f"{did_you_mean(near)}",
            value=source,
            valid=tuple(PREFIX + known for known in BUNDLED),
            nearest=near,
        )
    if name == "digits":
        return _digits(source)
    if name == "diabetes":
        return _diabetes(source)
    bundled = BUNDLED[name]
    # The first line holds counts and class names, not columns.
    values = np.array([[float(cell) for cell in row] for row in _rows(bundled.file)[1:]])
    columns = {column: of_numbers(values[:, j]) for j, column in enumerate(bundled.columns)}
    columns[TARGET] = _classes(values[:, -1], bundled.classes)
    return Table(title=source, columns=columns, target=TARGET)


def _digits(source: str) -> Table:
    values = np.array([[float(cell) for cell in row] for row in _rows("digits.csv.gz")])
    images = compact(values[:, :-1].reshape(-1, 8, 8, 1), "digits", source)
    target = _classes(values[:, -1], tuple("0123456789"))
    return Table(title=source, columns={TARGET: target}, images=images, target=TARGET)


def _diabetes(source: str) -> Table:
    bundled = BUNDLED["diabetes"]
    values = np.array([[float(c) for c in row[0].split()] for row in _rows(bundled.file)])
    columns = {column: of_numbers(values[:, j]) for j, column in enumerate(bundled.columns)}
    target = np.array([float(row[0]) for row in _rows("diabetes_target.csv.gz")])
    return Table(title=source, columns={**columns, TARGET: of_numbers(target)}, target=TARGET)


def _classes(codes: np.ndarray, names: tuple[str, ...]) -> Column:
    return Column(
        values=codes.astype(np.int32), missing=np.zeros(len(codes), dtype=bool), categories=names
    )


def _rows(file: str) -> list[list[str]]:
    spec = find_spec("sklearn")
    if spec is None or spec.origin is None:
        raise DataError("scikit-learn is not installed; pip install scikit-learn")
    path = Path(spec.origin).parent / "datasets" / "data" / file
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode()
    return list(csv.reader(io.StringIO(text)))
