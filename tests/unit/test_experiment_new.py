"""``modelyard new``: files that fit the data, pass their check, and complete in an editor."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from modelyard.cli.check import load_checked
from modelyard.cli.new import SCHEMA_FILE, TEMPLATES, new, show
from modelyard.cli.views import NewView
from modelyard.errors import InputError


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A table with an id, a gap, a class that is rare and a target that is a number."""
    rows = [
        f"c{i},{'' if i % 9 == 0 else i % 50},{'yes' if i % 9 == 0 else 'no'},{i / 7:.3f}"
        for i in range(300)
    ]
    file = tmp_path / "data" / "my table.csv"
    file.parent.mkdir()
    file.write_text("\n".join(["id,age,churned,worth # net", *rows, ""]))
    return file


@pytest.mark.parametrize("template", [name for name, kind in TEMPLATES.items() if kind.source])
def test_each_template_passes_its_check(template: str, tmp_path: Path) -> None:
    """Without data of one's own it starts from scikit-learn's, and can be run at once."""
    file = new(template, tmp_path / "My First.yaml").file
    assert load_checked(file).experiment.name == "my-first"


def test_a_name_loses_its_accents(tmp_path: Path) -> None:
    """They aren't dashes between single letters."""
    file = new("baseline", tmp_path / "Über Ä!.yaml").file
    assert load_checked(file).experiment.name == "uber-a"


@pytest.mark.parametrize("template", [name for name, kind in TEMPLATES.items() if kind.source])
def test_the_first_line_leads_to_the_schema(template: str, tmp_path: Path) -> None:
    """The schema lies beside the file, and the file satisfies it."""
    text = new(template, tmp_path / "a.yaml").file.read_text()
    assert text.splitlines()[0] == f"# yaml-language-server: $schema={SCHEMA_FILE}"
    schema = json.loads((tmp_path / SCHEMA_FILE).read_text())
    jsonschema.Draft202012Validator(schema).validate(yaml.safe_load(text))


def test_a_table_gets_its_columns(table: Path, tmp_path: Path) -> None:
    """Target, a relative path, ids dropped, a metric that minds the rare class, a gate by it."""
    file = new("tabular", tmp_path / "churn.yaml", table, "churned").file
    checked = load_checked(file)
    written = yaml.safe_load(file.read_text())
    assert written["data"]["source"] == "data/my table.csv"
    assert checked.experiment.data.drop == ("id",)
    assert checked.experiment.objective[0].metric == "balanced_accuracy"
    assert checked.experiment.gates[0].at_least == 0.5


def test_what_nothing_can_be_learnt_from_is_dropped(tmp_path: Path) -> None:
    """Ids that count, ids in words and columns of one value; a day that counts may matter."""
    csv = tmp_path / "a.csv"
    lines = [f"{n},{n},c{n},eu,{n % 7},{'yn'[n % 2]}" for n in range(40)]
    csv.write_text("\n".join(["Customer ID,day,code,region,age,churned", *lines]))

    written = new("tabular", tmp_path / "a.yaml", csv, "churned")

    assert written.dropped == ("Customer ID", "code", "region")
    assert load_checked(written.file).experiment.data.drop == written.dropped


def dropped_of(tmp_path: Path, header: str, lines: list[str]) -> tuple[str, ...]:
    """What is left out of a table whose last column is ``y``."""
    csv = tmp_path / "b.csv"
    csv.write_text("\n".join([f"{header},y", *(f"{x},{'pq'[n % 2]}" for n, x in enumerate(lines))]))
    return new("tabular", tmp_path / "b.yaml", csv, "y", force=True).dropped


@pytest.mark.parametrize(
    "name", ["id", "customer_id", "rowId", "Unnamed: 0", "row number", "index"]
)
def test_ids_that_count_are_left_out(name: str, tmp_path: Path) -> None:
    """By a word of the name that says so."""
    assert dropped_of(tmp_path, f"{name},x", [f"{n},{n % 7}" for n in range(30)]) == (name,)


@pytest.mark.parametrize("name", ["growth", "paid", "covid", "time_index", "week_index", "arrow"])
def test_columns_that_count_by_chance_are_kept(name: str, tmp_path: Path) -> None:
    """Letters of ``id``, ``row`` or ``index`` within another word say nothing."""
    assert dropped_of(tmp_path, f"{name},x", [f"{n},{n % 7}" for n in range(30)]) == ()


def test_texts_that_may_be_of_use_are_kept(tmp_path: Path) -> None:
    """Numbers or dates that are read as texts for their writing, and texts of a few rows."""
    amounts = ["unknown", *(f"{n / 7:.3f}" for n in range(1, 30))]
    days = [f"{n + 1}/{n % 12 + 1}/2024" for n in range(30)]
    lines = [f"{amount},{day}" for amount, day in zip(amounts, days, strict=True)]

    assert dropped_of(tmp_path, "amount,day", lines) == ()
    assert dropped_of(tmp_path, "town,x", [f"t{n},{n % 4}" for n in range(19)]) == ()
    assert dropped_of(tmp_path, "town,x", [f"t{n},{n % 4}" for n in range(20)]) == ("town",)


def test_where_all_columns_look_useless_none_is_left_out(tmp_path: Path) -> None:
    """A model needs something to learn from; the user is told by the notes."""
    written = dropped_of(tmp_path, "id,code", [f"{n},c{n}" for n in range(30)])
    assert written == ()


def test_a_number_is_learnt_by_regression(table: Path, tmp_path: Path) -> None:
    """The objective is R², and a column's odd name is quoted."""
    file = new("baseline", tmp_path / "worth.yaml", table, "worth # net").file
    checked = load_checked(file)
    assert checked.experiment.data.target == "worth # net"
    assert checked.experiment.objective[0].metric == "r2"


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    """A table with an id, a title, a text and what was thought of it."""
    rows = [
        f'r{i},film {i % 40},"{"fine, so fine" if i % 2 else "a bore from end to end"} {i}",{i % 2}'
        for i in range(60)
    ]
    file = tmp_path / "reviews.csv"
    file.write_text("\n".join(["id,title,body,sentiment", *rows, ""]))
    return file


def test_own_code_is_written_beside_and_never_over(tmp_path: Path) -> None:
    """The class's arguments are searched; code that is there already stays, forced or not."""
    file = new("own", tmp_path / "a.yaml").file
    checked = load_checked(file)

    assert checked.family == "net.py:Net"
    assert {"width", "depth", "activation"} <= set(checked.space)
    with pytest.raises(InputError, match=r"net\.py is there already"):
        new("own", file, force=True)


def test_texts_of_a_table_are_learnt_from_alone(reviews: Path, tmp_path: Path) -> None:
    """The column with the longest texts, unless another is named; all others are dropped."""
    checked = load_checked(new("text", tmp_path / "a.yaml", reviews, "sentiment").file)
    other = load_checked(new("text", tmp_path / "b.yaml", reviews, "sentiment", text="title").file)

    assert checked.card is not None
    assert (checked.card.kind, checked.card.rows, checked.family) == ("text", 60, "gru")
    assert checked.experiment.data.drop == ("id", "title")
    assert other.experiment.data.drop == ("id", "body")


def test_texts_in_a_folder_need_no_columns(tmp_path: Path) -> None:
    """Their classes are the names of its folders; the published sets are such folders too."""
    for label in ("ham", "spam"):
        (tmp_path / "mail" / label).mkdir(parents=True)
        for i in range(20):
            (tmp_path / "mail" / label / f"{i}.txt").write_text(f"{label} number {i}")

    checked = load_checked(new("text", tmp_path / "a.yaml", tmp_path / "mail").file)

    assert checked.experiment.data.kind is None
    assert checked.card is not None
    assert checked.card.classes == ("ham", "spam")


def test_texts_that_cannot_be_found_are_asked_for(
    table: Path, reviews: Path, tmp_path: Path
) -> None:
    """Data, target and column by their options, and nothing is written before."""
    file = tmp_path / "a.yaml"
    with pytest.raises(InputError, match="comes without data: name yours with --data"):
        new("text", file)
    with pytest.raises(InputError, match="--target; there are id, title, body, sentiment"):
        new("text", file, reviews)
    with pytest.raises(InputError, match=r"no column 'bodi'.* did you mean 'body'"):
        new("text", file, reviews, "sentiment", text="bodi")
    with pytest.raises(InputError, match="--text is for the template text"):
        new("tabular", file, table, "churned", text="id")
    assert not file.exists()


def test_a_target_that_is_no_column_is_refused(table: Path, tmp_path: Path) -> None:
    """With the nearest column; left out, all of them are named; nothing is written."""
    with pytest.raises(InputError, match="did you mean 'churned'"):
        new("tabular", tmp_path / "a.yaml", table, "churn")
    with pytest.raises(InputError, match="--target; there are id, age, churned"):
        new("tabular", tmp_path / "a.yaml", table)
    assert list(tmp_path.iterdir()) == [table.parent]


def test_what_is_there_is_not_overwritten(tmp_path: Path) -> None:
    """Neither the file nor a stranger's schema, unless forced."""
    file = tmp_path / "a.yaml"
    file.write_text("mine")
    with pytest.raises(InputError, match="--force"):
        new("baseline", file)
    assert file.read_text() == "mine"
    new("baseline", file, force=True)
    assert "sklearn:digits" in file.read_text()
    (tmp_path / SCHEMA_FILE).write_text("[]")
    with pytest.raises(InputError, match="not a schema of ours"):
        new("baseline", tmp_path / "b.yaml")
    assert not (tmp_path / "b.yaml").exists()


def test_what_does_not_fit_is_refused(table: Path, tmp_path: Path) -> None:
    """An unknown template, a missing folder, a folder, a template for other data."""
    with pytest.raises(InputError, match="did you mean 'tabular"):
        new("tabula", tmp_path / "a.yaml")
    with pytest.raises(InputError, match="there is no folder"):
        new("baseline", tmp_path / "none" / "a.yaml")
    with pytest.raises(InputError, match="is a folder"):
        new("baseline", tmp_path)
    with pytest.raises(InputError, match="use baseline or tabular"):
        new("image", tmp_path / "a.yaml", table, "churned")


def test_the_command_says_what_it_found(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rows, missing cells, classes and the next command; one document with --json."""
    file = tmp_path / "churn.yaml"
    show(new("tabular", file, table, "churned"), json_output=False)
    text = capsys.readouterr().out
    assert "Left out, as data.drop in the file says: id" in text
    assert "Drop it" not in text
    for words in (
        "300 rows",
        "2 columns to learn from",
        "34 missing cells",
        "2 classes",
        f"modelyard check {file}",
    ):
        assert words in text
    show(new("tabular", file, table, "churned", force=True), json_output=True)
    view = NewView.model_validate_json(capsys.readouterr().out)
    assert (view.file, view.data["rows"]) == (str(file), 300)
