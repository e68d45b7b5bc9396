"""Small real models, from data to packed folder, as a sweep would leave them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from modelyard.data.card import DataCard
from modelyard.data.prepare import prepare
from modelyard.data.preprocess import Preprocessor
from modelyard.data.snapshot import open_snapshot
from modelyard.experiment.model import Data
from modelyard.models.classical import ClassicalEstimator, build_classical, flatten
from modelyard.models.families import FAMILIES
from modelyard.models.packed import pack
from modelyard.store.store import store_for

PLANS = ("basic", "pro", "team")


@dataclass(frozen=True, kw_only=True)
class Packed:
    """A model's folder, and the snapshot it was fitted on."""

    model: Path
    snapshot: Path
    card: DataCard
    digest: str


def write_customers(file: Path, rows: int = 120) -> Path:
    """A CSV with a whole number, a fraction and a text, each with missing cells; two classes."""
    random = np.random.default_rng(3)
    lines = ["age,spend,plan,churned"]
    for number in range(rows):
        age, spend = int(random.integers(18, 90)), float(random.uniform(1, 99))
        plan = PLANS[int(random.integers(3))]
        churned = "yes" if spend < 50 else "no"
        cells = [str(age), f"{spend:.2f}", plan]
        if number % 10 < len(cells):
            cells[number % 10] = ""
        lines.append(",".join([*cells, churned]))
    file.write_text("\n".join(lines) + "\n")
    return file


def table_model(folder: Path, *, seed: int = 0, drop: tuple[str, ...] = ()) -> Packed:
    """A forest that tells churned customers from their spend."""
    source = write_customers(folder / "customers.csv")
    data = Data(source=str(source), target="churned", drop=drop)
    return _fit(data, folder, seed)


def image_model(folder: Path) -> Packed:
    """A forest on scikit-learn's handwritten digits."""
    return _fit(Data(source="sklearn:digits"), folder, 0)


def _fit(data: Data, folder: Path, seed: int) -> Packed:
    base = (folder / "artifacts").as_uri()
    store = store_for(base)
    prepared = prepare(data, seed=7, base=folder, store=store, store_base=base)
    snapshot = open_snapshot(store.fetch(prepared.uri))
    rows = snapshot.rows("train")
    preprocessor = Preprocessor.fit(rows, prepared.card)
    parameters = FAMILIES["random-forest"].complete({"n_estimators": 8})
    forest = build_classical("random-forest", parameters, prepared.card.task, seed)
    forest.fit(flatten(preprocessor.transform(rows)), snapshot.target("train"))
    packed = folder / f"packed-{seed}"
    pack(
        packed,
        family="random-forest",
        parameters=parameters,
        preprocessor=preprocessor,
        card=prepared.card,
        estimator=ClassicalEstimator(forest, len(prepared.card.classes)),
    )
    return Packed(
        model=packed,
        snapshot=store.fetch(prepared.uri),
        card=prepared.card,
        digest=prepared.digest,
    )
