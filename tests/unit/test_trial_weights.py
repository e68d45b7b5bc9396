"""Weights to start from, brought to where a trial runs: versions and uploads."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from modelyard.contract import PinnedVersion, digest_of
from modelyard.errors import DigestMismatch, InputError
from modelyard.store.folder import FolderStore
from modelyard.store.manifest import digest_file, read_manifest
from modelyard.store.store import join
from modelyard.trial.weights import weights_of

PACKED = Path(__file__).parents[2] / "examples" / "five_digits"


@pytest.fixture
def base(tmp_path: Path) -> str:
    return (tmp_path / "artifacts").as_uri()


def version(uri: str) -> PinnedVersion:
    """The example's packed model, committed as a version is."""
    folder = FolderStore().fetch(FolderStore().commit(PACKED, uri))
    files = {name: entry.blake3 for name, entry in read_manifest(folder).items()}
    return PinnedVersion(version="models:/five/1", uri=uri, digest=digest_of(files))


def upload(file: Path, base: str, scratch: Path) -> str:
    """A file as the server keeps what users send; its digest."""
    digest = digest_file(file)
    folder = scratch / digest
    folder.mkdir()
    shutil.copy(file, folder)
    FolderStore().commit(folder, join(base, "uploads", digest))
    return digest


def test_a_version_is_fetched_from_where_it_was_found(base: str, tmp_path: Path) -> None:
    """It is a packed model that knows its data, by the version's exact name."""
    pinned = version(join(base, "mlflow", "m-1"))

    found = weights_of(
        "models:/five@champion", pinned, store=FolderStore(), store_base=base, scratch=tmp_path
    )

    assert (found.source, found.packed is not None) == ("models:/five/1", True)


def test_a_version_that_changed_or_is_gone_is_refused(base: str, tmp_path: Path) -> None:
    """A sweep goes on from what it began with, or not at all."""
    pinned = version(join(base, "mlflow", "m-1"))
    other = pinned.model_copy(update={"digest": "0" * 64})
    gone = pinned.model_copy(update={"uri": join(base, "mlflow", "m-2")})

    for given, error, words in (
        (other, DigestMismatch, "models:/five/1 is not what it was"),
        (gone, InputError, "the files of models:/five/1 are gone"),
    ):
        with pytest.raises(error, match=words):
            weights_of(
                "models:/five/1", given, store=FolderStore(), store_base=base, scratch=tmp_path
            )


def test_a_packed_model_is_put_together_from_what_was_sent(base: str, tmp_path: Path) -> None:
    """Its description names its tensors by digest; without them it says what is missing."""
    source = f"upload:{upload(PACKED / 'model.json', base, tmp_path)}/five_digits/model.json"

    def found() -> str | None:
        got = weights_of(source, None, store=FolderStore(), store_base=base, scratch=tmp_path)
        return None if got.packed is None else got.packed.family

    with pytest.raises(InputError, match=r"five_digits/weights\.safetensors .* which uploads it"):
        found()
    upload(PACKED / "weights.safetensors", base, tmp_path)
    assert found() == "cnn"
    assert found() == "cnn"
