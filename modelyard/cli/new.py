"""``modelyard new``: an experiment file that fits the data, with the schema for the editor."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from string import Template

from modelyard.cli.check import describe_card, describe_target
from modelyard.cli.views import NewView
from modelyard.data.card import DataCard
from modelyard.data.describe import describe
from modelyard.data.source import read
from modelyard.errors import DataError, InputError
from modelyard.experiment import yaml12
from modelyard.experiment.keys import nearest
from modelyard.experiment.model import Data
from modelyard.experiment.places import is_path
from modelyard.experiment.schema import TITLE, experiment_schema

FOLDER = Path(__file__).parent / "templates"

SCHEMA_FILE = "experiment.schema.json"
"""Lies beside the experiment file, so that an editor finds it offline and Git can keep it."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One template.

    Args:
        source: data that it starts from when none is named.
        takes: the kinds of data it is for.
    """

    source: str
    takes: tuple[str, ...]


TEMPLATES = {
    "baseline": Kind(source="sklearn:digits", takes=("table", "image", "text")),
    "image": Kind(source="sklearn:digits", takes=("image",)),
    "tabular": Kind(source="sklearn:breast_cancer", takes=("table",)),
}
"""Every template by name."""


@dataclass(frozen=True, kw_only=True)
class Written:
    """What ``new`` wrote, and what it saw of the data."""

    file: Path
    schema_file: Path
    card: DataCard


def new(
    template: str,
    file: Path,
    data: Path | None = None,
    target: str | None = None,
    force: bool = False,
) -> Path:
    """Writes an experiment file and its schema.

    Args:
        template: baseline, image or tabular.
        file: to write; its folder must be there.
        data: a data file, or ``sklearn:<name>``; the template's own when left out.
        target: column to predict; needed for tables that don't say themselves.
        force: replace the file if there is one.

    Returns:
        The file.

    Raises:
        InputError: no such template, a file that is there, data that can't be used.
    """
    return write(template, file, data, target, force).file


def write(template: str, file: Path, data: Path | None, target: str | None, force: bool) -> Written:
    """Like ``new``, and says what was found out.

    Raises:
        InputError: as for ``new``.
    """
    kind = _template(template)
    _refuse_existing(file, force)
    source = kind.source if data is None else _relative(data, file)
    card = _described(source, target, file.absolute().parent)
    if card.kind not in kind.takes:
        fitting = [name for name, other in TEMPLATES.items() if card.kind in other.takes]
        raise InputError(
            f"the template {template} is for {' and '.join(kind.takes)} data; {source} holds "
            f"{card.kind} data: use {' or '.join(fitting)}"
        )
    text = Template((FOLDER / f"{template}.yaml").read_text()).substitute(
        schema=SCHEMA_FILE,
        name=_name(file),
        data=_data_section(source, target, card),
        objective=f"objective: {{metric: {_metric(card)}, goal: maximize}}",
        gates=_gate_lines(card),
    )
    schema_file = _write_schema(file.parent, force)
    _replace(file, text)
    return Written(file=file, schema_file=schema_file, card=card)


def new_command(
    template: str,
    file: Path,
    data: Path | None,
    target: str | None,
    force: bool,
    json_output: bool,
) -> None:
    """Writes an experiment file and prints what was seen of the data.

    Raises:
        InputError: as for ``new``.
    """
    written = write(template, file, data, target, force)
    card, command = written.card, f"modelyard check {file}"
    if json_output:
        view = NewView(
            file=str(file.absolute()),
            schema_file=str(written.schema_file.absolute()),
            data=card.model_dump(mode="json"),
            next=command,
        )
        print(view.model_dump_json(indent=2))
        return
    print(f"Data: {describe_card(card)}\nTarget: {describe_target(card)}")
    for note in card.notes:
        print(f"· {note}")
    if ids := _ids(card):
        print(f"Dropped, as each row has another: {', '.join(ids)}")
    print(f"Wrote {file}, and {written.schema_file} for your editor.\nNext: {command}")


def _template(name: str) -> Kind:
    if name in TEMPLATES:
        return TEMPLATES[name]
    near = nearest(name, tuple(TEMPLATES))
    hint = f"; did you mean {near}?" if near else ""
    raise InputError(f"there is no template {name!r}; there are {', '.join(TEMPLATES)}{hint}")


def _refuse_existing(file: Path, force: bool) -> None:
    if not file.absolute().parent.is_dir():
        raise InputError(f"there is no folder {file.absolute().parent}; make it first")
    if file.is_dir():
        raise InputError(f"{file} is a folder; name a file, such as {file / 'experiment.yaml'}")
    if file.exists() and not force:
        raise InputError(f"{file} is there already; --force replaces it")


def _relative(data: Path, file: Path) -> str:
    """The source as it stands in the file: relative to the file's folder."""
    text = str(data)
    if not is_path(text):
        return text
    return os.path.relpath(os.path.abspath(data.expanduser()), file.absolute().parent)


def _described(source: str, target: str | None, base: Path) -> DataCard:
    """The data card; an unknown target is answered in the words of the command line."""
    try:
        return describe(Data(source=source, target=target), base)
    except DataError as error:
        if error.key != "data.target":
            raise
        columns = tuple(read(source, base).columns)
        if target is None:
            raise InputError(
                f"{source} is a table: name the column to predict with --target; "
                f"there are {', '.join(columns)}"
            ) from None
        if target in columns:
            raise
        near = nearest(target, columns)
        hint = f"; did you mean {near!r}?" if near else ""
        raise InputError(
            f"--target: there is no column {target!r} in {source}; "
            f"there are {', '.join(columns)}{hint}"
        ) from None


def _name(file: Path) -> str:
    """A name by the file's own: small letters, digits and dashes."""
    name = re.sub(r"[^a-z0-9]+", "-", file.stem.lower())[:63].strip("-")
    return name or "experiment"


def _data_section(source: str, target: str | None, card: DataCard) -> str:
    size = f"{card.rows:,} {'images' if card.kind == 'image' else 'rows'}"
    lines = [f"source: {_text(source)}  # {size}"]
    if target is not None:
        what = f"{len(card.classes)} classes" if card.classes else "a number"
        lines.append(f"target: {_text(target)}  # {what}")
    if card.kind == "table":
        ids = ", ".join(_text(name) for name in _ids(card))
        lines.append(f"drop: [{ids}]  # columns not to learn from, such as an id")
    return "\n".join(f"  {line}" for line in lines)


def _ids(card: DataCard) -> list[str]:
    """Columns with another text in every row: nothing can be learnt from them."""
    return [c.name for c in card.columns if c.type == "category" and c.unique == card.rows]


def _metric(card: DataCard) -> str:
    """R² for numbers; accuracy for classes, balanced where one class is most of the rows."""
    if card.task == "regression":
        return "r2"
    return "balanced_accuracy" if _largest_share(card) > 0.75 else "accuracy"


def _largest_share(card: DataCard) -> float:
    return max(card.class_counts.values()) / card.rows


def _gate_lines(card: DataCard) -> str:
    """A gate that a model passes when it is surely better than one that has learnt nothing."""
    metric = _metric(card)
    if metric == "r2":
        floor, why = 0.0, "0 is what the mean of all rows reaches"
    elif metric == "accuracy":
        floor = round(_largest_share(card), 2)
        why = f"{floor:g} is what the commonest class alone reaches"
    else:
        floor = round(1 / len(card.classes), 2)
        why = f"{floor:g} is what a guess reaches"
    gate = f"{{metric: {metric}, at_least: {floor:g}, confidence: 0.95}}"
    return f"  # {why}; raise it to what you need.\n  - {gate}"


def _text(value: str) -> str:
    """Text as YAML, quoted where it would be read as something else."""
    try:
        plain = yaml12.parse(f"[{value}]").value == [value]
    except yaml12.YamlMistake:
        plain = False
    return value if plain else json.dumps(value, ensure_ascii=False)


def _write_schema(folder: Path, force: bool) -> Path:
    """Writes the schema; another's file of that name is left alone."""
    path = folder / SCHEMA_FILE
    if path.exists() and not force:
        try:
            ours = json.loads(path.read_text()).get("title") == TITLE
        except (ValueError, AttributeError, OSError):
            ours = False
        if not ours:
            raise InputError(
                f"{path} is not a schema of ours, and the new file needs one of that name; "
                "move it away, or --force replaces it"
            )
    _replace(path, json.dumps(experiment_schema(), indent=2, ensure_ascii=False) + "\n")
    return path


def _replace(path: Path, text: str) -> None:
    """Writes beside it, then renames: a full disk leaves the old file whole."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(text, encoding="utf-8")
        os.replace(beside, path)
    except OSError as error:
        raise InputError(f"{path} can't be written: {error.strerror or error}") from error
    finally:
        beside.unlink(missing_ok=True)
