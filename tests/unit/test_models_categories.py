"""Categories as ids and vectors: columns with many of them, for a network."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from modelyard.data.encoders import FIRST_ID, MISSING_ID, UNSEEN
from modelyard.data.prepare import prepare
from modelyard.data.preprocess import Preprocessor
from modelyard.data.snapshot import Snapshot, open_snapshot
from modelyard.experiment.model import Data
from modelyard.models.categories import EmbeddedCategories, units
from modelyard.models.packed import load
from modelyard.store.store import store_for
from modelyard.train.fit import fit
from tests.support.fitting import Recorder, job

TOWNS = [f"town {number}" for number in range(24)]


def shops(folder: Path, rows: int = 480) -> Snapshot:
    """A table whose target is decided by the town: of 24, every second is rich."""
    generator = np.random.default_rng(0)
    towns = generator.integers(len(TOWNS), size=rows)
    lines = [
        f"{size:.2f},{'' if row % 40 == 0 else TOWNS[town]},{('a', 'b')[row % 2]},"
        f"{('poor', 'rich')[town % 2]}"
        for row, (size, town) in enumerate(zip(generator.random(rows), towns, strict=True))
    ]
    (folder / "shops.csv").write_text("\n".join(["size,town,side,kind", *lines, ""]))
    base = (folder / "store").as_uri()
    store = store_for(base)
    made = prepare(
        Data(source="shops.csv", target="kind"),
        seed=7,
        base=folder,
        store=store,
        store_base=base,
    )
    return open_snapshot(store.fetch(made.uri))


def test_many_categories_become_ids_and_few_stay_one_hot(tmp_path: Path) -> None:
    """Above the limit a column is one feature of ids; below, and without a limit, one-hot."""
    snapshot = shops(tmp_path)
    rows = snapshot.rows("train")

    fitted = Preprocessor.fit(rows, snapshot.card, one_hot=10)
    features = fitted.transform(rows)

    assert sorted(fitted.feature_names) == ["side=a", "side=b", "size", "town"]
    assert fitted.ids == ((1, 26),)
    assert set(features[:, 1]) == {MISSING_ID, *range(2, 26)}
    assert Preprocessor.fit(rows, snapshot.card).ids == ()
    assert Preprocessor.from_json(json.loads(json.dumps(fitted.to_json()))) == fitted


def test_unseen_missing_and_single_categories_have_ids_of_their_own(tmp_path: Path) -> None:
    """A town never seen and one seen once share an id, which is so learnt; a missing cell has
    another."""
    snapshot = shops(tmp_path)
    rows = snapshot.rows("train")
    codes = rows.columns["town"].values
    first = [int(np.flatnonzero(codes == code)[0]) for code in range(len(TOWNS))]
    single = rows.take(np.array([*first, *first[1:]]))  # all twice but one

    fitted = Preprocessor.fit(single, snapshot.card, one_hot=10)
    lone, often = (rows.columns["town"].categories or ())[:2]
    asked = [{"size": 1, "town": town, "side": "a"} for town in ("nowhere", lone, None, often)]
    ids = fitted.transform(fitted.parse(asked))[:, 1].tolist()

    assert fitted.ids == ((1, 25),)
    assert ids[:3] == [UNSEEN, UNSEEN, MISSING_ID]
    assert ids[3] >= FIRST_ID


def test_vectors_stand_where_ids_stood() -> None:
    """Numbers pass as they are, an id picks its vector, and what is no category is silent."""
    torch.manual_seed(0)
    net = EmbeddedCategories(4, ((1, 5), (2, 3)), 2)
    said = net(torch.tensor([[0.5, 4.0, 0.0, -1.0], [1.5, 1.0, 2.0, 2.0]]))

    assert net.width == said.shape[1] == 2 + 4
    assert said[:, :2].tolist() == [[0.5, -1.0], [1.5, 2.0]]
    assert torch.equal(said[0, 2:4], net.vectors[0].weight[4])
    assert said[0, 4:].tolist() == said[1, 2:4].tolist() == [0.0, 0.0]


@pytest.mark.parametrize(("ids", "expected"), [(2, 2), (26, 10), (1_000, 77), (10**6, 600)])
def test_units_follow_fastai(ids: int, expected: int) -> None:
    """min(600, 1.6 · n^0.56), rounded."""
    assert units(ids) == expected


def test_mlp_learns_what_each_category_means(tmp_path: Path) -> None:
    """From the town alone the MLP tells rich from poor; packed and loaded it answers the same, also
    for a town that it never saw."""
    snapshot = shops(tmp_path)
    work = job(
        snapshot,
        tmp_path / "s",
        family="mlp",
        epochs=8,
        parameters={"hidden": 16, "layers": 1},
        train={"learning_rate": 0.02, "batch_size": 32},
    )

    fitted = fit(work, Recorder())
    fitted.pack(tmp_path / "model")
    predictor = load(tmp_path / "model")
    rows = snapshot.rows("test")
    expected = fitted.estimator.predict(fitted.preprocessor.transform(rows))
    asked = [{"size": 0.3, "town": "nowhere", "side": "a"}]

    assert fitted.metrics["accuracy"] > 0.9
    np.testing.assert_array_equal(predictor.predict(rows).output, expected)
    assert predictor.predict(predictor.preprocessor.parse(asked)).confidence is not None
