"""Fetching a published set into its folder: whole or not at all, and checked where it can be."""

from __future__ import annotations

import hashlib
import os
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree

import httpx

from modelyard.data.published import Download, Published
from modelyard.data.sniff import sniff
from modelyard.errors import InputError, ModelyardError
from modelyard.store.untar import untar

TIMEOUT_SECONDS = 60.0
"""Longest silence of a publisher; their disks may have to start up."""

CONNECT_SECONDS = 10.0
"""After so long an address doesn't answer: a firewall drops what is sent there."""

BLOCK_BYTES = 1 << 20

Progress = Callable[[str, int, int | None], None]
"""Told of a file's name, its bytes so far, and how many it has where that is known."""


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """What was done about a set.

    Args:
        downloaded: files that came over the network.
        there: files, or what archives hold, that were there already.
        unchecked: downloaded files for which nobody publishes a checksum.
    """

    downloaded: tuple[str, ...]
    there: tuple[str, ...]
    unchecked: tuple[str, ...]


def get(name: str, published: Published, folder: Path, progress: Progress) -> Fetched:
    """Bring a set's files into its folder; what is there stays.

    An archive that was put there by hand is unpacked without a network.

    Args:
        name: of the set, for messages.
        published: the set.
        folder: made if it isn't there.
        progress: told how far it is.

    Raises:
        InputError: the folder can't be written, or a file that lies there isn't the published one.
        ModelyardError: there is no network, the publisher refuses, or what came is damaged; says
            what to put where by hand.
    """
    downloaded, there, unchecked = [], [], []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for download in published.downloads:
            if download.holds is not None and (folder / download.holds).exists():
                there.append(download.file)
                continue
            path = folder / download.file
            if path.exists():
                _refuse_other(path, download)
                there.append(download.file)
            else:
                _fetch(name, published, download, folder, progress)
                downloaded.append(download.file)
                unchecked += [download.file] * (download.md5 is None)
            if download.holds is not None:
                _unpack(path, folder)
                if download.file in downloaded:
                    path.unlink()
    except OSError as error:
        raise InputError(
            f"{error.filename or folder} can't be written: {error.strerror}"
        ) from error
    return Fetched(downloaded=tuple(downloaded), there=tuple(there), unchecked=tuple(unchecked))


def by_hand(name: str, published: Published, folder: Path) -> str:
    """Which files to put where, for those whose machine has no network."""
    lines = [f"  {download.url}" for download in published.downloads]
    packed = any(download.holds is not None for download in published.downloads)
    after = f", and run `modelyard data get {name}` again: it unpacks them" if packed else ""
    return "\n".join([f"By hand: put these into {folder}{after}", *lines])


def _fetch(
    name: str, published: Published, download: Download, folder: Path, progress: Progress
) -> None:
    """Download one file, check it, and only then give it its name."""
    part = folder / f".{download.file}.{os.getpid()}.part"
    try:
        digest = _stream(download, part, progress)
        if download.md5 is not None and digest != download.md5:
            raise ModelyardError(
                f"{download.url} gave a file with MD5 {digest}; published is {download.md5}. "
                "It was not kept; try again, or from another network"
            )
        _refuse_other_kind(part, download)
        os.replace(part, folder / download.file)
    except httpx.HTTPStatusError as error:
        answer = f"{error.response.status_code} {error.response.reason_phrase}".strip()
        raise ModelyardError(
            f"{name} can't be downloaded: {download.url} answers {answer}. Has it moved? See "
            f"{published.page}\n{by_hand(name, published, folder)}"
        ) from error
    except httpx.HTTPError as error:
        reason = str(error) or type(error).__name__
        raise ModelyardError(
            f"{name} can't be downloaded: {download.url} can't be reached ({reason}). Is there a "
            f"network here?\n{by_hand(name, published, folder)}"
        ) from error
    finally:
        part.unlink(missing_ok=True)


def _stream(download: Download, part: Path, progress: Progress) -> str:
    """Write a file as it comes; returns its MD5."""
    digest = hashlib.md5(usedforsecurity=False)
    done = 0
    limits = httpx.Timeout(TIMEOUT_SECONDS, connect=CONNECT_SECONDS)
    with httpx.stream("GET", download.url, follow_redirects=True, timeout=limits) as response:
        response.raise_for_status()
        # The size of a compressed transfer says nothing of the file.
        coded = "content-encoding" in response.headers
        length = None if coded else response.headers.get("content-length")
        total = int(length) if length is not None else None
        with part.open("wb") as file:
            for block in response.iter_bytes(BLOCK_BYTES):
                file.write(block)
                digest.update(block)
                done += len(block)
                progress(download.file, done, total)
    return digest.hexdigest()


def _refuse_other(path: Path, download: Download) -> None:
    """A file that lies there must be the published one."""
    if download.md5 is None:
        return
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if digest != download.md5:
        raise InputError(
            f"{path} has MD5 {digest}, the published file {download.md5}: it is cut short or "
            "another one. Remove it, and it is downloaded"
        )


def _refuse_other_kind(path: Path, download: Download) -> None:
    """A page of a login or an error is not kept under the file's name."""
    found = sniff(path)
    wanted = {".zip": "a ZIP", ".gz": "a gzip", ".csv": None}[Path(download.file).suffix]
    fits = found is None if wanted is None else found is not None and found.startswith(wanted)
    if not fits:
        raise ModelyardError(
            f"{download.url} gave {found or 'text'} instead of {download.file}; it was not kept"
        )


def _unpack(path: Path, folder: Path) -> None:
    """Unpack an archive beside itself; what it holds appears whole."""
    inside = folder / f".{path.name}.{os.getpid()}"
    try:
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                archive.extractall(inside)
        else:
            with tarfile.open(path) as archive:
                untar(archive, inside)
        _merge(inside, folder)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError) as error:
        raise InputError(
            f"{path} can't be unpacked: {error}. It is cut short or damaged; remove it, and it is "
            "downloaded"
        ) from error
    finally:
        rmtree(inside, ignore_errors=True)


def _merge(source: Path, target: Path) -> None:
    """Move what a folder holds into another, folder into folder where both have one."""
    for entry in sorted(source.iterdir()):
        there = target / entry.name
        if entry.is_dir() and there.is_dir():
            _merge(entry, there)
        else:
            os.replace(entry, there)
