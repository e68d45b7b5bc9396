"""A packed model as MLflow keeps it: pyfunc over our own loader, nothing pickled."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelyard.contract import digest_of
from modelyard.data.card import DataCard
from modelyard.data.rows import Rows
from modelyard.models.families import FAMILIES
from modelyard.models.packed import describe, needed_plugins
from modelyard.registry import signature
from modelyard.registry.tracking import SWEEP, Tracking
from modelyard.store.manifest import MANIFEST, read_manifest
from modelyard.store.store import store_for

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel

LOADER = "modelyard.models.pyfunc"
PACKED = "data/model"
"""Where within a logged model the packed model lies: a committed folder of our store's kind."""

EXAMPLE = "example.json"
REQUIRED = ("modelyard", "numpy", "pandas", "safetensors", "scikit-learn", "skops", "torch")


def log_model(
    tracking: Tracking, *, model: Path, card: DataCard, rows: Rows, run: str, sweep: str
) -> tuple[str, dict[str, str]]:
    """Log a packed model with its signature and example; the same sweep again replaces it.

    Args:
        tracking: where to.
        model: folder of the packed model.
        card: of its data.
        rows: raw rows of the test split for the example.
        run: MLflow run that it comes from.
        sweep: its sweep's id.

    Returns:
        URI of the logged model's folder, and the BLAKE3 of each packed file by name.
    """
    logged = _logged_model(tracking, run, sweep)
    with tempfile.TemporaryDirectory(prefix="modelyard-register-") as folder:
        packed = _commit(model, signature.example(rows), Path(folder))
        built = Path(folder) / "mlflow"
        _save(built, packed, card, rows, run=run, logged=logged)
        tracking.client.log_model_artifacts(logged.model_id, str(built))
        digests = {name: entry.blake3 for name, entry in read_manifest(packed).items()}
    tracking.client.finalize_logged_model(logged.model_id, "READY")
    return str(logged.artifact_location), digests


def _logged_model(tracking: Tracking, run: str, sweep: str) -> LoggedModel:
    client = tracking.client
    experiment = client.get_run(run).info.experiment_id
    found = client.search_logged_models([experiment], f"tags.`{SWEEP}` = '{sweep}'")
    if found:
        return found[0]
    return client.create_logged_model(
        experiment, name="model", source_run_id=run, tags={SWEEP: sweep}, model_type="modelyard"
    )


def _commit(model: Path, example: Mapping[str, Any], folder: Path) -> Path:
    """The model's files and its example as one committed folder."""
    gathered = folder / "gathered"
    shutil.copytree(model, gathered, ignore=shutil.ignore_patterns(MANIFEST))
    (gathered / EXAMPLE).write_text(json.dumps(example, allow_nan=False))
    target = folder / "model"
    store_for(target.as_uri()).commit(gathered, target.as_uri())
    return target


def _save(
    built: Path, packed: Path, card: DataCard, rows: Rows, *, run: str, logged: LoggedModel
) -> None:
    import mlflow.pyfunc
    from mlflow.models import Model

    mlflow.pyfunc.save_model(
        str(built),
        loader_module=LOADER,
        data_path=str(packed),
        mlflow_model=Model(
            artifact_path=logged.artifact_location, run_id=run, model_id=logged.model_id
        ),
        signature=signature.model_signature(card, rows),
        input_example=signature.input_example(rows),
        # Given, MLflow doesn't load the model in a new process to find them out.
        pip_requirements=[*requirements(), *_of_library(packed), *_of_plugins(packed)],
    )


def requirements() -> list[str]:
    """What loading a version needs, pinned to what is installed, without local build tags."""
    return [f"{name}=={version(name).split('+')[0]}" for name in REQUIRED]


def _of_library(packed: Path) -> list[str]:
    """The distribution of the boosting library that the model is of; XGBoost has several."""
    family = FAMILIES.get(describe(packed).family)
    if family is None or family.library is None:
        return []
    name = packages_distributions()[family.library][0]
    return [f"{name}=={version(name)}"]


def _of_plugins(packed: Path) -> list[str]:
    """The distributions of the plugins that the model can't be loaded without."""
    return sorted({f"{p.distribution}=={p.version}" for p in needed_plugins(packed)})


def digest(files: Mapping[str, str]) -> str:
    """One digest of all files' digests."""
    return digest_of(dict(files))


def packed_uri(source: str) -> str:
    """URI of the packed model within a logged model's folder."""
    return f"{source.rstrip('/')}/{PACKED}"
