"""Default spaces that follow the data, and what is said of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelyard.cli.check import load_checked
from modelyard.data.card import ColumnCard, DataCard
from modelyard.data.texts import Texts
from modelyard.data.tokens import usual_length
from modelyard.experiment.space import last_step
from modelyard.experiment.training import Train
from modelyard.models.families import FAMILIES
from modelyard.models.spaces import reason, suited

ROWS = (20, 150, 700, 1_797, 70_000, 1_000_000)


def card(
    rows: int = 5_000, classes: int = 10, shape: tuple[int, ...] = (), words: int = 0
) -> DataCard:
    """A card of images where there is a shape, of texts where there are words, else of a table."""
    column = ColumnCard(name="x", type="number", missing=0, unique=rows)
    return DataCard(
        kind="image" if shape else "text" if words else "table",
        task="classification",
        rows=rows,
        columns=() if shape else (column,),
        target="y",
        classes=tuple(map(str, range(classes))),
        shape=shape,
        length=words,
    )


def searched(family: str, data: DataCard, name: str) -> object:
    """What is searched of one parameter; None where it isn't."""
    dimension = suited(FAMILIES[family], data).space.get(name)
    return dimension and (dimension.int_ or dimension.choice)


@pytest.mark.parametrize(
    ("side", "blocks"), [(4, (1, 1)), (8, (1, 2)), (15, (1, 2)), (28, (1, 3)), (64, (2, 4))]
)
def test_pooling_leaves_pixels(side: int, blocks: tuple[int, int]) -> None:
    """A CNN is as deep as the image can be halved, up to four blocks; a large one isn't shallow."""
    assert searched("cnn", card(shape=(side, 2 * side, 1)), "depth") == blocks


def test_batches_follow_the_rows() -> None:
    """Few rows go in small batches, many in large ones; between them train's own is left."""
    found = [searched("mlp", card(rows), "batch_size") for rows in ROWS]

    assert found == [(4, 16), (4, 16), (8, 32), None, (64, 256), (256, 1024)]


def test_trees_follow_the_rows() -> None:
    """Of few rows a leaf asks for a twentieth at most, and a tree has no more leaves than that; of
    very many rows both ends are higher."""
    leaf = [searched("gradient-boosting", card(rows), "min_samples_leaf") for rows in ROWS]
    trees = [searched("lightgbm", card(rows), "num_leaves") for rows in ROWS]

    assert leaf == [(2, 8), (2, 8), (5, 35), (5, 50), (5, 50), (5, 200)]
    assert trees == [(2, 8), (2, 8), (7, 35), (7, 89), (7, 127), (7, 508)]


def test_widths_follow_classes_and_channels() -> None:
    """Of many classes the last layers are no narrower than there are classes; colour takes more
    filters."""
    many = card(classes=100, shape=(32, 32, 3))

    assert searched("mlp", many, "hidden") == (100, 400)
    assert searched("cnn", many, "hidden") == (100, 400)
    assert searched("resnet", many, "width") == (32, 64)
    assert searched("cnn", many, "channels") == (16, 48)


def test_long_texts_are_read_further() -> None:
    """Where more than one text in ten is longer than the limit, its double is tried as well."""
    assert searched("gru", card(words=200), "length") is None
    assert searched("transformer", card(words=500), "length") == (256, 512)


def test_usual_length_is_counted_in_tokens() -> None:
    """Nine texts in ten have no more tokens, whatever the tenth has; no texts have none."""
    texts = ["one two!"] * 95 + ["word " * 1_000] * 5

    assert usual_length(Texts.of("text", texts)) == 3
    assert usual_length(Texts.of("text", [])) == 0


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("rows", ROWS)
def test_whatever_the_data_the_space_is_valid(family: str, rows: int) -> None:
    """Every dimension lies within its family's bounds, or those of train, and ends on its grid."""
    kinds = {"image": {"shape": (5, 300, 3)}, "text": {"words": 900}, "table": {}}
    for kind in FAMILIES[family].kinds:
        for classes in (0, 2, 5_000):
            data = card(rows, classes, **kinds[kind])  # type: ignore[arg-type]
            for name, dimension in suited(FAMILIES[family], data).space.items():
                ends = dimension.choice or dimension.float_ or dimension.int_ or ()
                parameter = FAMILIES[family].parameters.get(name)
                for end in ends:
                    if parameter is None:
                        Train.model_validate({name: end})
                    else:
                        assert parameter.problem(end) is None
                assert last_step(dimension) is None


def test_data_of_another_kind_changes_nothing() -> None:
    """A family that can't learn from the data keeps its space: that it can't is said elsewhere."""
    assert suited(FAMILIES["cnn"], card(10)) == FAMILIES["cnn"]


def test_the_reason_says_what_follows_the_data(tmp_path: Path) -> None:
    """The check names what follows the data, and nothing that the file itself says."""
    rows = "".join(f"{n % 7},{n % 3}\n" for n in range(60))
    (tmp_path / "a.csv").write_text(f"x,y\n{rows}")
    file = tmp_path / "a.yaml"
    file.write_text("name: a\ndata: {source: a.csv, target: y}\nmodel: {family: auto}\n")

    leaf = "; leaves of at least 1 to 8 rows, for 60 rows"
    assert load_checked(file).why.endswith(f"overfit least{leaf}")
    own = load_checked(file, ["search.space={min_samples_leaf: {int: [1, 4]}}"])
    assert own.why.endswith("overfit least")
    named = load_checked(file, ["model=mlp", "train.batch_size=8"])
    assert named.why == "mlp, as the file says"
    assert reason("mlp", card(60), {}) == ""
