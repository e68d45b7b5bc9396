"""A model in a folder: weights without pickle, and all that is needed to predict from raw rows.

    model.json            family, parameters, the data's card, fitted preprocessing, digest
    weights.safetensors   of a network, or
    model.skops           of scikit-learn's trees, or
    model.xgboost.json, model.lightgbm.txt
    code.tar              the user's own code, where the network is made by it

Other files in the folder are let be. Loading needs the base install only. It runs no code that
the folder could bring along, but for own code, whose digest stands in ``model.json``.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from modelyard.code.archive import ARCHIVE
from modelyard.code.importing import Code, open_code, place_of
from modelyard.code.reference import Reference
from modelyard.contract import Scalar
from modelyard.data.card import DataCard
from modelyard.data.preprocess import Preprocessor
from modelyard.errors import DigestMismatch, ModelyardError
from modelyard.models.boosted import FILES, load_boosted
from modelyard.models.classical import load_classical
from modelyard.models.estimator import TREES, WEIGHTS, Array, Estimator
from modelyard.models.families import family_named
from modelyard.models.family import Family
from modelyard.models.needed import Needed, check_needed, needed_by
from modelyard.models.predictor import Predictor
from modelyard.plugins.loading import PluginError
from modelyard.store.manifest import digest_file

if TYPE_CHECKING:
    from modelyard.models.network import Shape

DESCRIPTION = "model.json"


class PackedModelError(ModelyardError):
    """A folder holds no packed model that can be used. Names the file and what is wrong."""


class Description(BaseModel):
    """``model.json``."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: Literal[1] = 1
    family: str
    parameters: dict[str, Scalar]
    network: dict[str, Any] | None
    card: dict[str, Any]
    preprocessor: dict[str, Any]
    file: Literal["weights.safetensors", "model.skops", "model.xgboost.json", "model.lightgbm.txt"]
    blake3: str
    code: str | None = None
    plugins: tuple[Needed, ...] = ()


def pack(
    folder: Path,
    *,
    family: str,
    parameters: Mapping[str, Scalar],
    preprocessor: Preprocessor,
    card: DataCard,
    estimator: Estimator,
    code: Code | None = None,
) -> None:
    """Write a fitted model into a folder, which is made if it isn't there.

    Args:
        folder: where to.
        family: the family's name.
        parameters: of the family; those left out are filled in with their defaults, but for own
            code, of which they are all that it is built with.
        preprocessor: fitted on the training split.
        card: of the data.
        estimator: fitted by the family.
        code: that the estimator's module was made by, where it is the user's own.

    Raises:
        OSError: it can't be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = estimator.save(folder)
    known = None if code else family_named(family)
    complete = dict(parameters) if known is None else known.complete(parameters)
    description = {
        "format": 1,
        "family": family,
        "parameters": complete,
        "network": estimator.shape_json(),
        "card": card.model_dump(mode="json"),
        "preprocessor": preprocessor.to_json(),
        "file": file.name,
        "blake3": digest_file(file),
        "code": None if code is None else code.digest,
    }
    if known is not None and (plugins := needed_by(known, complete)):
        description["plugins"] = [plugin.model_dump(mode="json") for plugin in plugins]
    if code is not None:
        shutil.copyfile(code.archive, folder / ARCHIVE)
    text = json.dumps(description, indent=1, allow_nan=False)
    (folder / DESCRIPTION).write_text(text, encoding="utf-8")


def load(folder: Path) -> Predictor:
    """The model that was packed into a folder, on the CPU.

    Raises:
        PackedModelError: something is missing, damaged or not of this program.
        DigestMismatch: the weights, or the code, are not those that were packed.
    """
    description = describe(folder)
    if lacking := check_needed(description.plugins):
        raise PackedModelError(f"the model in {folder} can't be loaded here: {lacking}")
    file = folder / description.file
    _hold_against(file, description.blake3)
    if description.code is not None:
        _hold_against(folder / ARCHIVE, description.code)
    try:
        card = DataCard.model_validate(description.card)
        return Predictor(
            family=description.family,
            parameters=description.parameters,
            card=card,
            preprocessor=Preprocessor.from_json(description.preprocessor),
            estimator=_estimator(file, description, card),
        )
    except (ValueError, KeyError, TypeError, PluginError) as error:
        raise PackedModelError(f"the packed model in {folder} can't be used: {error}") from error


def needed_plugins(folder: Path) -> tuple[Needed, ...]:
    """The plugins that the model in a folder can't be loaded without.

    Raises:
        PackedModelError: there is none, or its description is damaged.
    """
    return describe(folder).plugins


def describe(folder: Path) -> Description:
    """What the packed model in a folder says of itself; its other files aren't looked at.

    Raises:
        PackedModelError: it says nothing that can be used.
    """
    path = folder / DESCRIPTION
    try:
        return Description.model_validate_json(path.read_bytes())
    except OSError as error:
        raise PackedModelError(
            f"there is no packed model in {folder}: {DESCRIPTION}: {error.strerror}"
        ) from error
    except ValidationError as error:
        raise PackedModelError(f"{path} doesn't describe a packed model: {error}") from error


def _hold_against(file: Path, digest: str) -> None:
    if not file.is_file():
        raise PackedModelError(f"{file} is missing; {DESCRIPTION} says that it is there")
    if digest_file(file) != digest:
        raise DigestMismatch(f"{file} is not the file that was packed: its BLAKE3 differs")


def _estimator(file: Path, description: Description, card: DataCard) -> Estimator:
    if Reference.of(description.family) is not None:
        return _own_estimator(file, description)
    family = family_named(description.family)
    expected = WEIGHTS if family.network else FILES.get(family.name, TREES)
    if file.name != expected:
        raise ValueError(f"a {family.name} lies in {expected}, not in {file.name}")
    if family.build is None:
        return _built(family, file, description, card)
    with _own(f"{family.name} can't be built again"):
        return _OwnEstimator(_built(family, file, description, card), family.name)


def _built(family: Family, file: Path, description: Description, card: DataCard) -> Estimator:
    if family.name in FILES:
        return load_boosted(file, family.name, len(card.classes))
    if not family.network:
        return load_classical(file, len(card.classes), family.trusted)
    # Importing torch takes seconds and 200 MB that a server of trees must not pay.
    from modelyard.models.network import load_network

    parameters = family.complete(description.parameters)
    return load_network(file, family.name, parameters, _shape(description))


def _own_estimator(file: Path, description: Description) -> Estimator:
    from modelyard.models.network import load_network

    if description.code is None:
        raise ValueError(f"{description.family} is own code, and {DESCRIPTION} names none")
    family, code = description.family, open_code(file.with_name(ARCHIVE))
    with _own(f"{family} can't be built again"):
        shape = _shape(description)
        return _OwnEstimator(
            load_network(file, family, description.parameters, shape, code), family
        )


class _OwnEstimator:
    """An estimator made by code that isn't ours: its errors are told as ours, with their place."""

    def __init__(self, estimator: Estimator, family: str) -> None:
        self._estimator = estimator
        self._family = family
        self.save = estimator.save
        self.shape_json = estimator.shape_json

    def predict(self, features: Array) -> Array:
        """See ``Estimator``."""
        with _own(f"{self._family} can't answer"):
            return self._estimator.predict(features)


@contextmanager
def _own(what: str) -> Iterator[None]:
    """Code that isn't ours runs within, and may raise anything.

    Raises:
        PackedModelError: in place of whatever isn't ours.
    """
    try:
        yield
    except ModelyardError:
        raise
    except Exception as error:
        place = place_of(error)
        where = f" ({place})" if place else ""
        raise PackedModelError(f"{what}: {type(error).__name__}: {error}{where}") from error


def _shape(description: Description) -> Shape:
    from modelyard.models.network import Shape

    if description.network is None:
        raise ValueError(f"{DESCRIPTION} says nothing of the network's shape")
    return Shape.from_json(description.network)
