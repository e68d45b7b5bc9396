"""Weights to start from, brought to this machine: a version, an upload, or a path that it has."""

from __future__ import annotations

from pathlib import Path

from modelyard.contract import PinnedVersion, digest_of
from modelyard.errors import DigestMismatch, InputError
from modelyard.experiment.places import UPLOADED
from modelyard.models.packed import DESCRIPTION, describe
from modelyard.models.pretrained import Pretrained, open_pretrained
from modelyard.store.manifest import read_manifest
from modelyard.store.store import Store, join


def weights_of(
    source: str, pinned: PinnedVersion | None, *, store: Store, store_base: str, scratch: Path
) -> Pretrained:
    """What ``model.weights.source`` means, on this machine.

    Args:
        source: as the experiment has it.
        pinned: the version that it was when the sweep was made, None where it isn't one.
        store: where versions and uploads lie, these below ``store_base``.
        scratch: local folder for temporary files.

    Raises:
        InputError: there are no weights, or not such as a network could start from.
        DigestMismatch: a version's files are not those that it had then.
    """
    if pinned is not None:
        return open_pretrained(_version(pinned, store), pinned.version)
    if not source.startswith(UPLOADED):
        return open_pretrained(Path(source), source)
    digest, _, name = source.removeprefix(UPLOADED).partition("/")
    uploads = join(store_base, "uploads")
    file = _upload(uploads, digest, name, store)
    folder, _, last = name.rpartition("/")
    if last != DESCRIPTION:
        return open_pretrained(file, name)
    return open_pretrained(_packed(file, uploads, folder, store, scratch / "weights"), folder)


def _version(pinned: PinnedVersion, store: Store) -> Path:
    try:
        folder = store.fetch(pinned.uri)
    except FileNotFoundError:
        raise InputError(
            f"model.weights: the files of {pinned.version} are gone: nothing is at {pinned.uri}"
        ) from None
    found = digest_of({name: entry.blake3 for name, entry in read_manifest(folder).items()})
    if found != pinned.digest:
        raise DigestMismatch(
            f"{pinned.version} is not what it was when this sweep was made: its digest was "
            f"{pinned.digest[:16]}… and is {found[:16]}…"
        )
    return folder


def _packed(description: Path, uploads: str, name: str, store: Store, folder: Path) -> Path:
    """A packed model's folder as it was before its two files were sent."""
    folder.mkdir(parents=True, exist_ok=True)
    _link(folder / DESCRIPTION, description)
    packed = describe(folder)
    _link(folder / packed.file, _upload(uploads, packed.blake3, f"{name}/{packed.file}", store))
    return folder


def _upload(uploads: str, digest: str, name: str, store: Store) -> Path:
    """The one file of an upload; it may have been sent under another name before."""
    try:
        folder = store.fetch(join(uploads, digest))
    except FileNotFoundError:
        raise InputError(
            f"model.weights: {name} (digest {digest[:12]}) is not in the server's store (any more);"
            " run the file again, which uploads it"
        ) from None
    return folder / next(iter(read_manifest(folder)))


def _link(path: Path, target: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(target)
