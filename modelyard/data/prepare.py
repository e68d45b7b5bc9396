"""The prepare stage: read the source once, split it, keep the snapshot."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from modelyard.data.card import DataCard
from modelyard.data.dataset import load
from modelyard.data.folds import cut_folds
from modelyard.data.partition import partition
from modelyard.data.snapshot import write_snapshot
from modelyard.data.source import fetched
from modelyard.errors import DigestMismatch
from modelyard.experiment.model import Data
from modelyard.store.disk import writing
from modelyard.store.store import Store, join


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """Where the snapshot lies, its digest, and what is known of the data."""

    uri: str
    digest: str
    card: DataCard


def prepare(
    data: Data,
    *,
    seed: int,
    base: Path,
    store: Store,
    store_base: str,
    scratch: Path | None = None,
) -> Prepared:
    """Write the snapshot of an experiment's data, once.

    The same data, split and settings have the same digest and are not written again; several
    processes may prepare at once. One that is there but damaged is written anew.

    Args:
        data: the experiment's data section.
        seed: the experiment's; decides split and folds.
        base: folder that a relative ``data.source`` starts from.
        store: where to keep it.
        store_base: URI under which ``data/<digest>`` is made.
        scratch: folder for temporary files, the system's own when None.

    Raises:
        DataError: the data can't be learnt from; names file, column and row.
        ModelyardError: the store or ``scratch`` can't be written.
    """
    with TemporaryDirectory(prefix="source-", dir=scratch) as name:
        file = fetched(data.source, Path(name), store, store_base)
        dataset = load(data, base, file)
    parts = partition(dataset, data, seed)
    folds = cut_folds(dataset, data, seed, parts)
    settings = {"seed": seed, "split": data.split.model_dump(mode="json")}
    with TemporaryDirectory(prefix="snapshot-", dir=scratch) as name:
        folder = Path(name)
        with writing(folder):
            digest = write_snapshot(
                folder,
                card=dataset.card,
                rows=dataset.rows,
                target=dataset.target,
                parts=parts,
                settings=settings,
                folds=folds,
            )
        uri = join(store_base, "data", digest)
        _keep(store, folder, uri)
    return Prepared(uri=uri, digest=digest, card=dataset.card)


def _keep(store: Store, folder: Path, uri: str) -> None:
    try:
        store.fetch(uri)
    except DigestMismatch:
        store.delete(uri)
    except FileNotFoundError:
        pass
    else:
        return
    store.commit(folder, uri)
