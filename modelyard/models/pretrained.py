"""Weights that a fit starts from: a bare file, or a packed model that knows what they mean."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import safetensors

from modelyard.contract import Scalar
from modelyard.data.card import DataCard
from modelyard.data.preprocess import Preprocessor
from modelyard.errors import InputError
from modelyard.models.packed import DESCRIPTION, Description, PackedModelError, describe
from modelyard.store.manifest import digest_file

SUFFIX = ".safetensors"


@dataclass(frozen=True, kw_only=True)
class Pretrained:
    """Weights on this machine.

    Args:
        source: as the experiment names them.
        file: that holds the tensors.
        blake3: of the file.
        packed: what the packed model says that they are of; None for a bare file.
    """

    source: str
    file: Path
    blake3: str
    packed: Description | None = None

    @property
    def card(self) -> DataCard | None:
        """Of the data that they were learnt from, where that is known."""
        return None if self.packed is None else DataCard.model_validate(self.packed.card)

    def parameters_for(self, family: str) -> dict[str, Scalar]:
        """Parameters of the packed model, which the file need not repeat; {} of a bare file.

        Raises:
            InputError: they are of another family.
        """
        if self.packed is None:
            return {}
        if self.packed.family != family:
            raise InputError(
                f"model.weights: {self.source} is a model of the family {self.packed.family}, and "
                f"the experiment's is {family}; name the same under model.family"
            )
        return dict(self.packed.parameters)

    def preprocessor_for(self, card: DataCard) -> Preprocessor | None:
        """The encoding that the weights know: normalisation, categories, vocabulary.

        None where they can do with another: a bare file, or images of another size.

        Args:
            card: of the data that they are to learn from now.

        Raises:
            InputError: the data is of another kind or has other columns, or texts come without
                the vocabulary of the weights.
        """
        known = self.card
        if self.packed is None or known is None:
            if card.kind == "text":
                raise InputError(
                    f"model.weights: {self.source} holds vectors of words and doesn't say of "
                    f"which; give the folder of a packed model, with its {DESCRIPTION}"
                )
            return None
        if known.kind != card.kind:
            raise InputError(
                f"model.weights: {self.source} was learnt from {known.kind} data, and this is "
                f"{card.kind} data"
            )
        fitted = Preprocessor.from_json(self.packed.preprocessor)
        ignored = (*card.ignored, card.target)
        if fitted.text is not None:
            text = fitted.text.model_copy(update={"name": card.columns[0].name})
            return fitted.model_copy(update={"text": text, "ignored": ignored})
        if card.kind == "image" and known.shape != card.shape:
            return None
        before, now = (_columns(each) for each in (known, card))
        if before != now:
            odd = sorted({name for name, _ in before ^ now})
            raise InputError(
                f"model.weights: {self.source} was learnt from other columns; they differ in "
                f"{', '.join(odd)}"
            )
        return fitted.model_copy(update={"ignored": ignored})

    def knows_classes(self, card: DataCard) -> bool:
        """Whether the head may be kept: the classes are the same, or nobody knows."""
        known = self.card
        return known is None or (known.task, known.classes) == (card.task, card.classes)


def open_pretrained(path: Path, source: str) -> Pretrained:
    """Weights in a file or in the folder of a packed model.

    Args:
        path: where they lie.
        source: as messages name it.

    Raises:
        InputError: there are none; says what is missing.
    """
    if path.is_dir():
        try:
            packed = describe(path)
        except PackedModelError as error:
            raise InputError(f"model.weights: {error}") from None
        if not packed.file.endswith(SUFFIX):
            raise InputError(
                f"model.weights: {source} is a {packed.family}, which is grown and not trained on; "
                "weights are of a network"
            )
        file = path / packed.file
        digest = _digest(file, source)
        if digest != packed.blake3:
            raise InputError(
                f"model.weights: {file} is not the file that was packed: its BLAKE3 differs"
            )
        return Pretrained(source=source, file=file, blake3=digest, packed=packed)
    if path.suffix != SUFFIX:
        raise InputError(
            f"model.weights: {source} is neither a {SUFFIX} file nor the folder of a packed model"
        )
    digest = _digest(path, source)
    try:
        with safetensors.safe_open(path, framework="numpy"):
            pass  # its head is looked at, and that all of it is there
    except safetensors.SafetensorError as error:
        raise InputError(f"model.weights: {source} is no safetensors file: {error}") from None
    return Pretrained(source=source, file=path, blake3=digest)


def _digest(file: Path, source: str) -> str:
    try:
        return digest_file(file)
    except OSError as error:
        raise InputError(
            f"model.weights: {source} can't be read: {file}: {error.strerror or error}"
        ) from None


def _columns(card: DataCard) -> set[tuple[str, str]]:
    return {(column.name, column.type) for column in card.columns}
