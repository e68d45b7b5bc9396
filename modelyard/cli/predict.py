"""``modelyard predict``: rows of a file in, predictions of the serving model out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from modelyard.api import ServingView
from modelyard.cli.terminal import console, print_table, program
from modelyard.cli.views import PredictView
from modelyard.data.pictures import SUFFIXES, read_pictures
from modelyard.deploy.local import servings
from modelyard.errors import InputError, ModelyardError
from modelyard.report.tables import Table, number
from modelyard.settings import Paths, Settings

SHAPES = ("dataframe_records", "dataframe_split", "inputs", "instances")
"""A JSON file with one of these keys is sent as it is."""

BATCH_ROWS = 1000
"""Rows in one request."""

TIMEOUT_SECONDS = 60.0

BYTE = 255
"""Largest value of a pixel of 8 bits."""


@dataclass(frozen=True, kw_only=True)
class Arrays:
    """What is known of a model that takes its rows as arrays.

    Args:
        shape: of one row; (H, W) or (H, W, C) of an image.
        largest: number in its example; None where that holds no numbers.
    """

    shape: tuple[int, ...]
    largest: float | None = None


def predict_command(name: str | None, file: Path, json_output: bool) -> None:
    """Send the rows of a file to the model's server.

    Args:
        name: of the model; None where only one serves.
        file: CSV, TSV, JSON, Parquet, a text or a picture.
        json_output: print the ``PredictView``.

    Raises:
        InputError: no such server or file, or rows that don't fit the model.
    """
    paths = Settings().paths
    serving = serving_of(name, paths)
    answers = [_post(serving, body) for body in bodies(file, arrays_of(serving.name, paths))]
    view = PredictView(
        model=answers[0]["model"],
        version=int(answers[0]["version"]),
        predictions=tuple(one for answer in answers for one in answer["predictions"]),
    )
    if json_output:
        print(view.model_dump_json(indent=2))
    else:
        print_table(_table(view), console())


def serving_of(name: str | None, paths: Paths) -> ServingView:
    """The server of a model, or the only one.

    Raises:
        InputError: it doesn't run; names those that do.
    """
    running = servings(paths)
    named = [one for one in running if name in (None, one.name)]
    if len({one.name for one in named}) == 1:
        return max(named, key=lambda one: one.version)
    known = ", ".join(sorted({one.name for one in running})) or "none"
    if name is None and named:
        raise InputError(f"several models serve; name one of: {known}")
    raise InputError(
        f"no server of {name or 'a model'} runs in {paths.home} (there are: {known}); "
        f"`{program()} run FILE` or `{program()} rollback NAME` starts one"
    )


def arrays_of(name: str, paths: Paths) -> Arrays | None:
    """What a model takes as arrays, by its own example; None where it takes columns by name, or
    the example is gone."""
    try:
        example = json.loads((paths.models / name / "example.json").read_text())
        rows = next(rows for key, rows in example.items() if not key.startswith("dataframe"))
        array = np.asarray(rows)
        largest = float(array.max()) if array.dtype.kind in "iuf" else None
    except (OSError, ValueError, StopIteration):
        return None
    return Arrays(shape=array.shape[1:], largest=largest)


def bodies(file: Path, arrays: Arrays | None) -> Iterator[dict[str, Any]]:
    """The request bodies of a file, a thousand rows each.

    Args:
        file: CSV or TSV with the names in its first line, Parquet, a JSON list of rows or of
            texts, a JSON request, or one text (``.txt``) or one picture, as folders of texts or
            pictures hold them.
        arrays: what a model takes that is sent arrays of numbers; None: cells with their names.

    Raises:
        InputError: it can't be read, or holds no rows.
    """
    rows = _read(file, arrays)
    if isinstance(rows, dict):
        yield rows
        return
    if not rows:
        raise InputError(f"{file} holds no rows")
    for start in range(0, len(rows), BATCH_ROWS):
        batch = rows[start : start + BATCH_ROWS]
        if not isinstance(batch[0], dict):
            yield {"instances": batch}
        elif arrays is not None:
            yield {"instances": [_numbers(row, file) for row in batch]}
        else:
            yield {"dataframe_records": batch}


def _read(file: Path, arrays: Arrays | None) -> dict[str, Any] | list[Any]:
    suffix = file.suffix.lower()
    try:
        if file.is_dir():
            raise InputError(f"{file} is a folder; name a file")
        if not file.exists():
            raise InputError(f"{file} is not there (looked in {Path.cwd()})")
        if not file.is_file():
            raise InputError(f"{file} is a pipe or a device; name a file")
        if suffix in (".csv", ".tsv"):
            return _csv(file)
        if suffix == ".parquet":
            return _parquet(file)
        if suffix == ".json":
            return _json(file)
        if suffix == ".txt":
            return list(_text_file(file))
        if suffix in SUFFIXES:
            return _picture(file, arrays)
    except OSError as error:
        raise InputError(f"{file} can't be read: {error.strerror or error}") from error
    ends = f"ends in {suffix!r}" if suffix else "has no suffix"
    raise InputError(f"{file} {ends}; give .csv, .tsv, .json, .parquet, .txt or a picture")


def _picture(file: Path, arrays: Arrays | None) -> list[Any]:
    """The pixels, in the size and the channels that the model learnt from."""
    if arrays is None or len(arrays.shape) not in (2, 3):
        raise InputError(f"{file} is a picture, and this model takes no images")
    height, width, *channels = arrays.shape
    if channels not in ([], [1], [3]):
        raise InputError(
            f"{file} is a picture, and this model takes arrays of {channels[0]} channels, not of "
            "1 or 3; send them as JSON"
        )
    found = read_pictures([file], [str(file)], size=(height, width), colour=channels == [3])
    deep = found.images.dtype != np.uint8
    if arrays.largest is not None and deep != (arrays.largest > BYTE):
        raise InputError(
            f"{file} has {'more than 8' if deep else '8'} bits a pixel, and this model learnt from "
            f"numbers such as {arrays.largest:g}; save it as the pictures that it learnt from"
        )
    return [found.images[0].reshape(arrays.shape).tolist()]


def _text_file(file: Path) -> Iterator[str]:
    from modelyard.data.text_files import read_text_files

    return iter(read_text_files("text", [file], [str(file)]))


def _csv(file: Path) -> list[dict[str, Any]]:
    """Rows as texts: the model's own reading of texts is that of its training."""
    from modelyard.data.csv_file import read_texts

    rows: list[dict[str, Any]] = read_texts(file, str(file)).cells.to_pylist()
    return rows


def _parquet(file: Path) -> list[dict[str, Any]]:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(file)
    except pyarrow.ArrowException as error:
        raise InputError(f"{file} is no Parquet file that can be read: {error}") from error
    rows: list[dict[str, Any]] = json.loads(json.dumps(table.to_pylist(), default=str))
    return rows


def _json(file: Path) -> dict[str, Any] | list[Any]:
    try:
        document = json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file} is not JSON: {error}") from error
    if isinstance(document, list):
        return document
    if isinstance(document, dict) and any(key in document for key in SHAPES):
        return document
    raise InputError(f"{file}: give a list of rows, or an object with one of {', '.join(SHAPES)}")


def _numbers(row: dict[str, Any], file: Path) -> list[float]:
    try:
        return [float(cell) for cell in row.values()]
    except (TypeError, ValueError) as error:
        raise InputError(f"{file}: this model takes rows of numbers alone: {error}") from error


def _post(serving: ServingView, body: dict[str, Any]) -> dict[str, Any]:
    try:
        answer = httpx.post(
            f"{serving.address}/invocations",
            content=json.dumps(body),  # NaN, a cell without a value, included
            headers={"Content-Type": "application/json"},
            timeout=TIMEOUT_SECONDS,
            trust_env=False,
        )
    except httpx.TransportError as error:
        raise ModelyardError(f"{serving.name} at {serving.address}: {error}") from error
    if answer.status_code >= 400:
        said = f"{serving.name} refused the rows ({answer.status_code}): {_reason(answer)}"
        raise InputError(said) if answer.status_code < 500 else ModelyardError(said)
    document: dict[str, Any] = answer.json()
    return document


def _reason(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["error"])
    except (ValueError, KeyError, TypeError):
        return answer.text[:500]


def _table(view: PredictView) -> Table:
    return Table(
        title=f"{view.model} version {view.version}",
        columns=("row", "prediction", "confidence"),
        rows=tuple(
            (str(row), _text(one["prediction"]), _text(one.get("confidence")))
            for row, one in enumerate(view.predictions, start=1)
        ),
    )


def _text(value: Any) -> str:
    if value is None:
        return ""
    return number(value) if isinstance(value, float) else str(value)
