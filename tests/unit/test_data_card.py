"""The look at the data: kind, task, classes, columns, and what is said about them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard.data.card import DataCard
from modelyard.data.describe import describe
from modelyard.errors import DataError
from modelyard.experiment.model import Data


def card_of(path: Path, columns: dict[str, list[Any]], **data: Any) -> DataCard:
    """The card of a CSV with these columns."""
    lines = [
        ",".join(columns),
        *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True)),
    ]
    (path / "a.csv").write_text("\n".join(lines))
    return describe(Data(source="a.csv", **{"target": "y", **data}), path)


NUMBERS = [i * 1.5 for i in range(60)]


@pytest.mark.parametrize(
    ("target", "classes"),
    [
        (["no", "yes"] * 30, ("no", "yes")),
        ([True, False] * 30, ("false", "true")),
        ([0, 1, 2] * 20, ("0", "1", "2")),
        ([10, 2] * 30, ("2", "10")),
        (list(range(20)) * 3, tuple(str(i) for i in range(20))),
        ([*range(21), *range(39)], ()),
        ([0.5, 1] * 30, ()),
    ],
)
def test_task(tmp_path: Path, target: list[Any], classes: tuple[str, ...]) -> None:
    """Text, booleans and up to 20 whole numbers are classes; other numbers are numbers."""
    card = card_of(tmp_path, {"a": NUMBERS, "y": target})
    assert card.classes == classes
    assert card.task == ("classification" if classes else "regression")
    assert sum(card.class_counts.values()) == (60 if classes else 0)


def test_odd_classes_are_said(tmp_path: Path) -> None:
    """Text among numbers, and classes that differ in capital letters only, are said."""
    stray = card_of(tmp_path, {"a": NUMBERS, "y": ["1", "2", "none"] * 20})
    assert any("holds text among its numbers: 'none' in lines 4" in note for note in stray.notes)
    alike = card_of(tmp_path, {"a": NUMBERS, "y": ["No", "no", "yes"] * 20})
    assert any("differ in capital letters only: No and no." in note for note in alike.notes)


def test_classes_do_not_steer_the_terminal(tmp_path: Path) -> None:
    """Control characters in the data are written out where it is quoted."""
    card = card_of(tmp_path, {"a": NUMBERS, "y": ["\x1b[31mred", "größer"] * 30})
    assert "Classes of 'y': \\x1b[31mred 50.0%, größer 50.0%." in card.notes


def test_an_odd_column_is_no_id(tmp_path: Path) -> None:
    """Nobody is advised to drop a column that holds amounts in another writing."""
    card = card_of(tmp_path, {"a": [f"${i}.50" for i in range(60)], "y": ["p", "q"] * 30})
    assert not any("Drop it" in note for note in card.notes)


def test_rule_is_said(tmp_path: Path) -> None:
    """Where whole numbers could be either, the card says how they are taken and why."""
    few = card_of(tmp_path, {"a": NUMBERS, "y": [0, 1, 2] * 20})
    assert any("3 different whole numbers: taken as classes" in note for note in few.notes)
    many = card_of(tmp_path, {"a": NUMBERS, "y": list(range(60))})
    assert any("60 different whole numbers, more than 20" in note for note in many.notes)


def test_labels_of_images(tmp_path: Path) -> None:
    """Whole numbers beside images are classes however many there are; decimals are not."""
    x = np.zeros((90, 2, 2))
    np.savez(tmp_path / "a.npz", x=x, y=np.arange(90) % 30)
    assert len(describe(Data(source="a.npz"), tmp_path).classes) == 30
    np.savez(tmp_path / "a.npz", x=x, y=np.arange(90) % 30 * 1.0)
    assert describe(Data(source="a.npz"), tmp_path).task == "regression"


def test_columns(tmp_path: Path) -> None:
    """Columns are numbers or categories; few whole numbers stay numbers; cells are counted."""
    card = card_of(
        tmp_path,
        {
            "few": [1, 2] * 30,
            "cat": ["x", "y", ""] * 20,
            "flag": ["True", "False"] * 30,
            "day": ["2024-01-01", "NA"] * 30,
            "y": ["p", "q"] * 30,
        },
        drop=("flag",),
    )
    assert [(c.name, c.type, c.missing, c.unique, c.date) for c in card.columns] == [
        ("few", "number", 0, 2, False),
        ("cat", "category", 20, 2, False),
        ("day", "number", 30, 1, True),
    ]
    assert card.ignored == ("flag",)
    assert (card.kind, card.rows, card.target, card.shape) == ("table", 60, "y", ())


@pytest.mark.parametrize(
    ("column", "note"),
    [
        (["", *NUMBERS[1:]], "Cells without a value: a 1 (1.7%); numbers take the training"),
        ([""] * 60, "Without any value, of no use: a. Drop them."),
        ([3] * 60, "The same in every row, of no use: a. Drop them."),
        ([f"id{i}" for i in range(60)], "Column 'a' has another text in every row: an id?"),
        (list(range(100, 160)), "Column 'a' only counts the rows: an id?"),
        (["?", *NUMBERS[1:]], "Column 'a' is mostly numbers but is taken as categories, for '?' "),
        ([f'"{i},5"' for i in range(60)], "Column 'a' has numbers written such as '0,5' and is t"),
        ([f'"{i + 1},001"' for i in range(60)], "Column 'a' has numbers written such as '1,001' a"),
        ([f"{i} %" for i in range(60)], "Column 'a' has numbers written such as '0 %' and is take"),
        (["1/31/2024", "2/28/2024"] * 30, "Column 'a' has dates written such as '1/31/2024' and"),
        (["2024-02-28", "2024-02-31"] * 30, "Column 'a' has dates written such as '2024-02-31' a"),
        (["inf", *NUMBERS[1:]], "Column 'a' is infinite in line 2: taken as missing."),
        (["2024-01-01", "2024-02-01"] * 30, "Dates, learnt from as days since 1970-01-01: a."),
    ],
)
def test_notes_on_columns(tmp_path: Path, column: list[Any], note: str) -> None:
    """What is odd about a column is said, with its name."""
    card = card_of(tmp_path, {"a": column, "b": NUMBERS[::-1], "y": ["p", "q"] * 30})
    assert [n for n in card.notes if n.startswith(note)] != []
    clean = card_of(tmp_path, {"a": NUMBERS, "b": NUMBERS[::-1], "y": ["p", "q"] * 30})
    assert [n for n in clean.notes if n.startswith(note)] == []


def test_balance(tmp_path: Path) -> None:
    """Shares of the classes are said, and that one is rare."""
    card = card_of(tmp_path, {"a": NUMBERS, "y": ["p"] * 55 + ["q"] * 5})
    assert card.notes[0] == "Classes of 'y': p 91.7%, q 8.3%."
    assert card.notes[1].startswith("The classes are unbalanced: 55 rows of 'p', 5 of 'q'.")


def test_unnamed_column(tmp_path: Path) -> None:
    """A column without a name, as an index is written, is left out and said."""
    card = card_of(tmp_path, {"": list(range(60)), "a": NUMBERS, "y": ["p", "q"] * 30})
    assert [c.name for c in card.columns] == ["a"]
    assert "A column has no name, an index perhaps; it is not learnt from." in card.notes


@pytest.mark.parametrize(
    ("data", "key", "message"),
    [
        ({"target": None}, "data.target", "data.target is missing"),
        ({"target": "Y"}, "data.target", "did you mean 'y'?"),
        ({"drop": ("b", "aa")}, "data.drop.1", "has no column 'aa'; did you mean 'a'?"),
        ({"drop": ("y",)}, "data.drop.0", "both data.target and in data.drop"),
        ({"drop": ("a", "b")}, "data.drop", "no column left to learn from"),
        ({"kind": "image"}, "data.kind", "holds a table, not images"),
        ({"kind": "text"}, "data.drop", "has 2 columns to learn from (a, b); data.kind text takes"),
        ({"kind": "text", "drop": ("b",)}, "data.kind", "column 'a' holds numbers, not texts"),
    ],
)
def test_mistakes_name_their_key(
    tmp_path: Path, data: dict[str, Any], key: str, message: str
) -> None:
    """A mistake in the data section carries the key of the file that is at fault."""
    with pytest.raises(DataError) as caught:
        card_of(tmp_path, {"a": NUMBERS, "b": NUMBERS, "y": ["p", "q"] * 30}, **data)
    assert caught.value.key == key
    assert message in str(caught.value)


def test_images_as_a_table() -> None:
    """Images may be taken as a table of pixels."""
    card = describe(Data(source="sklearn:digits", kind="table"), Path())
    assert len(card.columns) == 64
    assert card.columns[9].name == "pixel_1_1"
    assert card.shape == ()
    assert len(card.classes) == 10


def test_another_target_of_a_bundled_set() -> None:
    """Any column of a bundled set may be the target; its own target is then learnt from."""
    card = describe(Data(source="sklearn:iris", target="petal width (cm)"), Path())
    assert card.task == "regression"
    assert card.columns[-1].name == "target"
    assert card.columns[-1].type == "category"


def test_card_is_json() -> None:
    """A card survives JSON."""
    card = describe(Data(source="sklearn:wine"), Path())
    assert DataCard.model_validate_json(card.model_dump_json()) == card
