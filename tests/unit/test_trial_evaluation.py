"""The evaluate stage of a packed model: what it measures, keeps and explains."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from modelyard.data.snapshot import open_snapshot
from modelyard.evaluate.explanation import Explanation
from modelyard.store.folder import FolderStore
from modelyard.trial.evaluation import Place, evaluate
from tests.support.fitting import experiment
from tests.support.packed import Packed, table_model


@pytest.fixture(scope="module")
def customers(tmp_path_factory: pytest.TempPathFactory) -> Packed:
    """A forest on a table whose class depends on one column alone."""
    return table_model(tmp_path_factory.mktemp("customers"))


def evaluated(packed: Packed, folder: Path, **sections: object) -> dict[str, object]:
    """The outcome of the stage, its artifacts below a folder."""
    store = FolderStore()
    snapshot = open_snapshot(packed.snapshot)
    model = store.commit(packed.model, (folder / "model").as_uri())
    place = Place(store=store, folder=(folder / "kept").as_uri(), scratch=folder / "scratch")
    wanted = experiment(snapshot, **sections)
    result = evaluate(snapshot=snapshot, experiment=wanted, place=place, model=model, champion=None)
    return result.outcome


def test_predictions_and_explanation_are_kept(customers: Packed, tmp_path: Path) -> None:
    """The stage commits both, and its outcome has where they lie and what matters most."""
    outcome = evaluated(customers, tmp_path, explain={"seconds": 3600})

    kept = FolderStore().fetch(str(outcome["predictions"])) / "predictions.parquet"
    told = FolderStore().fetch(str(outcome["explanation"])) / "explanation.json"
    found = Explanation.model_validate_json(told.read_bytes())
    assert pq.read_table(kept).num_rows == outcome["rows"]
    assert found.importance[0].name == "spend"
    assert outcome["importance"] == {one.name: one.drop for one in found.importance}
    assert len(found.examples) == 8


def test_nothing_is_explained_where_nobody_asks(customers: Packed, tmp_path: Path) -> None:
    """`explain: null` leaves the explanation out, and nothing else."""
    outcome = evaluated(customers, tmp_path, explain=None)

    assert {"explanation", "importance"}.isdisjoint(outcome)
    assert "predictions" in outcome
