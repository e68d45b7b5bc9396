"""``modelyard new``: an experiment file that fits the data, with the schema for the editor."""

from __future__ import annotations

import json
import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from string import Template

from modelyard.cli.describe import describe_card, describe_target
from modelyard.cli.draft import data_section, gate_lines, longest_texts, metric
from modelyard.cli.terminal import program
from modelyard.cli.views import NewView
from modelyard.data.card import DataCard
from modelyard.data.describe import describe
from modelyard.data.notes import counts_up, misread
from modelyard.data.source import read
from modelyard.errors import DataError, InputError
from modelyard.experiment.model import Data
from modelyard.experiment.places import is_path
from modelyard.experiment.schema import TITLE, experiment_schema
from modelyard.experiment.similar import as_name, did_you_mean, nearest

FOLDER = Path(__file__).parent / "templates"

SCHEMA_FILE = "experiment.schema.json"
"""Lies beside the experiment file, so that an editor finds it offline and Git can keep it."""

ID_NAME = re.compile(
    r"(?i:(?:^|[^a-z])(?:id|row|row[ _]?(?:id|num\w*))$|^unnamed|^index$)|[a-z0-9]I[dD]$"
)
"""Names of columns that only count: ``customer_id``, ``rowId``, ``Unnamed: 0``; not ``paid``."""

FEW_ROWS = 20
"""Of fewer rows a text that is another in each says nothing: names of a few groups, say."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One template.

    Args:
        source: data that it starts from when none is named; None where there is none.
        takes: the kinds of data it is for.
        code: a file of the user's own code, which is written beside the experiment file.
    """

    source: str | None
    takes: tuple[str, ...]
    code: str | None = None

    def offers(self, kind: str) -> bool:
        """Whether it is one to name to somebody with data of a kind."""
        return kind in self.takes and self.code is None


TEMPLATES = {
    "baseline": Kind(source="sklearn:digits", takes=("table", "image", "text")),
    "image": Kind(source="sklearn:digits", takes=("image",)),
    "own": Kind(source="sklearn:digits", takes=("table", "image"), code="net.py"),
    "tabular": Kind(source="sklearn:breast_cancer", takes=("table",)),
    "text": Kind(source=None, takes=("text",)),
}
"""Every template by name."""


@dataclass(frozen=True, kw_only=True)
class Written:
    """What ``new`` wrote, and what it saw of the data."""

    file: Path
    schema_file: Path
    card: DataCard
    dropped: tuple[str, ...]
    code: Path | None


def new(
    template: str,
    file: Path,
    data: Path | None = None,
    target: str | None = None,
    text: str | None = None,
    force: bool = False,
) -> Written:
    """Writes an experiment file and its schema.

    Args:
        template: baseline, image, own, tabular or text.
        file: to write; its folder must be there.
        data: a data file or folder, or ``sklearn:<name>``; the template's own when left out.
        target: column to predict; needed for tables that don't say themselves.
        text: column of a table whose texts are read, for the template of texts; the one with the
            longest texts when left out.
        force: replace the file if there is one.

    Raises:
        InputError: no such template, a file that is there, data that can't be used.
    """
    kind = _template(template)
    _refuse_existing(file, force)
    code = None if kind.code is None else _new_code(file.with_name(kind.code))
    if text is not None and kind.takes != ("text",):
        raise InputError(f"--text is for the template text, not for {template}")
    base, source = file.absolute().parent, _source(template, kind, data, file)
    section = _section(kind, source, target, text, base)
    card = _described(section, base)
    _refuse_other_data(card, template, source)
    if useless := _useless(card, source, base):
        section = section.model_copy(update={"drop": useless})
        card = _described(section, base)
    lines = Template((FOLDER / f"{template}.yaml").read_text()).substitute(
        schema=SCHEMA_FILE,
        name=_name(file),
        data=data_section(section, card),
        objective=f"objective: {{metric: {metric(card)}, goal: maximize}}",
        gates=gate_lines(card),
    )
    schema_file = _write_schema(file.parent, force)
    if code is not None:
        _replace(code, (FOLDER / f"{code.name}.template").read_text())
    _replace(file, lines)
    return Written(file=file, schema_file=schema_file, card=card, dropped=section.drop, code=code)


def show(written: Written, *, json_output: bool) -> None:
    """Prints what was written and seen of the data, and what to do next."""
    card, command = written.card, f"{program()} check {shlex.quote(str(written.file))}"
    if json_output:
        view = NewView(
            file=str(written.file.absolute()),
            schema_file=str(written.schema_file.absolute()),
            code=None if written.code is None else str(written.code.absolute()),
            data=card.model_dump(mode="json"),
            next=command,
        )
        print(view.model_dump_json(indent=2))
        return
    print(f"Data: {describe_card(card)}\nTarget: {describe_target(card)}")
    for note in card.notes:
        print(f"· {note}")
    if written.dropped:
        print(f"Left out, as data.drop in the file says: {', '.join(written.dropped)}")
    files = " and ".join(str(path) for path in (written.file, written.code) if path is not None)
    print(f"Wrote {files}, and {written.schema_file} for your editor.\nNext: {command}")


def _template(name: str) -> Kind:
    if name in TEMPLATES:
        return TEMPLATES[name]
    hint = did_you_mean(nearest(name, TEMPLATES))
    raise InputError(f"there is no template {name!r}; there are {', '.join(TEMPLATES)}{hint}")


def _refuse_other_data(card: DataCard, template: str, source: str) -> None:
    takes = TEMPLATES[template].takes
    if card.kind not in takes:
        fitting = [name for name, other in TEMPLATES.items() if other.offers(card.kind)]
        raise InputError(
            f"the template {template} is for {' and '.join(takes)} data; {source} holds "
            f"{card.kind} data: use {' or '.join(fitting)}"
        )


def _refuse_existing(file: Path, force: bool) -> None:
    if not file.absolute().parent.is_dir():
        raise InputError(f"there is no folder {file.absolute().parent}; make it first")
    if file.is_dir():
        raise InputError(f"{file} is a folder; name a file, such as {file / 'experiment.yaml'}")
    if file.exists() and not force:
        raise InputError(f"{file} is there already; --force replaces it")


def _new_code(code: Path) -> Path:
    """Code is never replaced: somebody has thought about it."""
    if code.exists():
        raise InputError(f"{code} is there already; move it away, or write into another folder")
    return code


def _relative(data: Path, file: Path) -> str:
    """The source as it stands in the file: relative to the file's folder."""
    text = str(data)
    if not is_path(text):
        return text
    return os.path.relpath(os.path.abspath(data.expanduser()), file.absolute().parent)


def _source(template: str, kind: Kind, data: Path | None, file: Path) -> str:
    if data is not None:
        return _relative(data, file)
    if kind.source is None:
        raise InputError(
            f"the template {template} comes without data: name yours with --data, a table with a "
            "column of texts or a folder with a folder of .txt files for each class"
        )
    return kind.source


def _section(kind: Kind, source: str, target: str | None, text: str | None, base: Path) -> Data:
    """The data section; texts in a table have all columns but theirs and the target dropped."""
    plain = Data(source=source, target=target)
    if kind.takes != ("text",):
        return plain
    table = read(source, base)
    if table.texts is not None or table.images is not None:
        if text is not None:
            raise InputError(f"--text names a column of a table, and {source} is none")
        return plain
    if target not in table.columns:
        return plain  # which is then asked for, or refused
    others = tuple(name for name in table.columns if name != target)
    if text is None:
        text = longest_texts(table, others, source)
    elif text == target:
        raise InputError(f"--text and --target name the same column, {target!r}")
    elif text not in others:
        raise InputError(_no_column("--text", text, source, others))
    drop = tuple(name for name in others if name != text)
    return Data(source=source, kind="text", target=target, drop=drop)


def _described(data: Data, base: Path) -> DataCard:
    """The data card; an unknown target is answered in the words of the command line."""
    try:
        return describe(data, base)
    except DataError as error:
        if error.key != "data.target":
            raise
        columns = tuple(read(data.source, base).columns)
        if data.target is None:
            raise InputError(
                f"{data.source} is a table: name the column to predict with --target; "
                f"there are {', '.join(columns)}"
            ) from None
        if data.target in columns:
            raise
        raise InputError(_no_column("--target", data.target, data.source, columns)) from None


def _useless(card: DataCard, source: str, base: Path) -> tuple[str, ...]:
    """Columns of a table that nothing can be learnt from: the same in every row, or ids.

    A number that counts the rows may as well be a day: it is an id where its name says so. Texts
    that are likely numbers or dates in an odd writing are for the user to mend.
    """
    if card.kind != "table":
        return ()
    each = [column for column in card.columns if column.unique == card.rows > 1]
    texts = [c.name for c in each if c.type == "category" and card.rows >= FEW_ROWS]
    counters = [c.name for c in each if c.type == "number" and ID_NAME.search(c.name)]
    ids: set[str] = set()
    if texts or counters:
        table = read(source, base)
        ids |= {name for name in texts if misread(table, name, table.columns[name]) is None}
        ids |= {name for name in counters if counts_up(table.columns[name])}
    same = {c.name for c in card.columns if c.unique <= 1 and (not c.missing or not c.unique)}
    useless = tuple(column.name for column in card.columns if column.name in ids | same)
    return useless if len(useless) < len(card.columns) else ()


def _no_column(option: str, name: str, source: str, columns: tuple[str, ...]) -> str:
    hint = did_you_mean(nearest(name, columns))
    return (
        f"{option}: there is no column {name!r} in {source}; there are {', '.join(columns)}{hint}"
    )


def _name(file: Path) -> str:
    """A name by the file's own."""
    return as_name(file.stem) or "experiment"


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
