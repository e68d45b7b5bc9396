"""The catalogue of families: choice, parameters, spaces."""

from __future__ import annotations

import subprocess
import sys

import pytest

from modelyard.data.card import ColumnCard, DataCard
from modelyard.errors import InputError
from modelyard.experiment.model import Experiment
from modelyard.experiment.search import Parameter
from modelyard.experiment.training import Train
from modelyard.models.families import FAMILIES, choose, resolve
from modelyard.models.family import Family


def table(rows: int, task: str = "classification") -> DataCard:
    """A card of a table with one column."""
    column = ColumnCard(name="x", type="number", missing=0, unique=rows)
    return DataCard(kind="table", task=task, rows=rows, columns=(column,), target="y")


def image(height: int, width: int, channels: int = 1) -> DataCard:
    """A card of images, greyscale where nothing else is said."""
    return DataCard(
        kind="image", task="classification", rows=1000, target="y", shape=(height, width, channels)
    )


def texts(rows: int) -> DataCard:
    """A card of texts."""
    column = ColumnCard(name="text", type="text", missing=0, unique=rows)
    return DataCard(kind="text", task="classification", rows=rows, columns=(column,), target="y")


def experiment(family: str) -> Experiment:
    """An experiment that names a family."""
    return Experiment(name="e", data={"source": "x.csv", "target": "y"}, model=family)


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        (image(8, 8), "cnn"),
        (image(28, 28), "cnn"),
        (image(8, 8, 3), "cnn"),
        (image(32, 32, 3), "resnet"),
        (image(64, 64), "resnet"),
        (image(2, 64), "mlp"),
        (table(200), "random-forest"),
        (table(20_000), "gradient-boosting"),
        (table(20_000, "regression"), "gradient-boosting"),
        (texts(500), "gru"),
        (texts(25_000), "transformer"),
    ],
)
def test_auto_suits_the_data(card: DataCard, expected: str) -> None:
    """Auto takes convolutions for images, residual ones for large images, trees for tables,
    recurrence for few texts and attention for many; its reason names the choice."""
    name, why = choose(card)

    assert name == expected == resolve(experiment("auto"), card)
    assert expected in why


def test_unknown_family_is_answered_with_the_valid_ones() -> None:
    """A family that doesn't exist is refused, and all that do are listed."""
    with pytest.raises(InputError) as caught:
        resolve(experiment("forest"), table(100))

    assert all(word in str(caught.value) for word in ("'forest'", "auto", *FAMILIES))


def test_family_that_cannot_take_the_data_is_refused() -> None:
    """A CNN on a table is refused with the families that can take one."""
    with pytest.raises(
        InputError, match="cnn can't learn classification from table data"
    ) as caught:
        resolve(experiment("cnn"), table(100))

    assert "auto, mlp, random-forest, gradient-boosting" in str(caught.value)


@pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)
def test_space_lies_within_the_family(family: Family) -> None:
    """Every name of a default space is a parameter or a key of train, and its bounds are valid."""
    for name, dimension in family.space.items():
        ends = _ends(dimension)
        if name in family.parameters:
            assert [family.parameters[name].problem(end) for end in ends] == [None] * len(ends)
        else:
            assert family.network
            for end in ends:
                Train.model_validate({name: end})


@pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)
def test_defaults_are_valid(family: Family) -> None:
    """A family's defaults pass its own check and are all filled in."""
    assert family.complete({}) == {n: p.default for n, p in family.parameters.items()}
    assert all(p.problem(p.default) is None for p in family.parameters.values())


def test_all_wrong_parameters_are_said_at_once() -> None:
    """Unknown names, wrong types, values out of bounds and out of choice are all in one error."""
    wrong = {"hiden": 3, "layers": 0, "hidden": "wide", "activation": "swish", "norm": True}

    with pytest.raises(InputError) as caught:
        FAMILIES["mlp"].complete(wrong)

    lines = str(caught.value).splitlines()
    assert [line.split(":")[0] for line in lines] == list(wrong)[:1] + [
        name for name in FAMILIES["mlp"].parameters if name in wrong
    ]


def test_catalogue_loads_neither_torch_nor_sklearn() -> None:
    """The command line can look at families and metrics without paying for heavy libraries."""
    program = (
        "import sys, modelyard.models.families, modelyard.evaluate.catalogue\n"
        "print(*({'torch', 'sklearn', 'scipy', 'skops'} & set(sys.modules)))"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout.split() == []


def _ends(dimension: Parameter) -> list[object]:
    if dimension.choice is not None:
        return list(dimension.choice)
    return list(dimension.float_ or dimension.int_ or ())
