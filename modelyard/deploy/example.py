"""The example that comes with a model: files to send, and the line that sends them."""

from __future__ import annotations

import csv
import io
import json
import os
import shlex
from pathlib import Path
from typing import Any

EXAMPLE = "example.json"


def write_example(model_folder: Path, folder: Path) -> Path:
    """Copy a version's example beside the installation's other files, for people to use.

    Args:
        model_folder: of the packed model; holds ``example.json``, a request body.
        folder: gets ``example.json``, and ``example.csv`` where the model takes a table.

    Returns:
        The JSON file.
    """
    body = (model_folder / EXAMPLE).read_text()
    folder.mkdir(parents=True, exist_ok=True)
    _replace(folder / EXAMPLE, body)
    records = json.loads(body).get("dataframe_records")
    if records:
        _replace(folder / "example.csv", _csv(records))
    return folder / EXAMPLE


def curl(address: str, file: Path) -> str:
    """The line to paste that gets predictions for the example."""
    data = shlex.quote(f"@{file}")
    return f"curl -s {address}/invocations -H 'Content-Type: application/json' -d {data}"


def _csv(records: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()


def _replace(file: Path, text: str) -> None:
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    temporary.write_text(text)
    os.replace(temporary, file)
