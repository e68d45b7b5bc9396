"""Every prediction on the test split, kept as a Parquet file.

    row          int64, the row of the source, from 0
    truth        text of the class, or float64
    prediction   the same
    confidence   float64, probability of the prediction; of a classification alone
    p:<class>    float64, probability of each class; of a classification alone

So any tool that reads Parquet can look for what went wrong, and every metric can be computed
again from it.
"""

from __future__ import annotations

from pathlib import Path

from modelyard.data.card import DataCard
from modelyard.models.estimator import Array

FILE = "predictions.parquet"

CLASS = "p:"
"""Beginning of the names of the columns that hold a class' probability."""


def write_predictions(
    folder: Path, *, rows: Array, truth: Array, output: Array, card: DataCard
) -> Path:
    """Write the predictions of a split into a folder, which is made if it isn't there.

    Args:
        folder: where to.
        rows: (n,) rows of the source.
        truth: (n,) class indices or values.
        output: (n, classes) probabilities in the card's order, or (n,) values.
        card: of the data.

    Returns:
        The file.

    Raises:
        OSError: it can't be written.
    """
    import pyarrow as pa  # late: the server takes names from here, and writes none of these
    import pyarrow.parquet as pq

    columns: dict[str, pa.Array] = {"row": pa.array(rows)}
    if card.task == "classification":
        names = pa.array(card.classes, pa.string())
        columns["truth"] = names.take(pa.array(truth))
        columns["prediction"] = names.take(pa.array(output.argmax(axis=1)))
        columns["confidence"] = pa.array(output.max(axis=1))
        for number, name in enumerate(card.classes):
            columns[f"{CLASS}{name}"] = pa.array(output[:, number])
    else:
        columns["truth"] = pa.array(truth)
        columns["prediction"] = pa.array(output)
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), folder / FILE, compression="zstd")
    return folder / FILE
