"""Files that users send: tables and code of their own, each under the digest of its bytes."""

from __future__ import annotations

import asyncio
import re
import tempfile
from pathlib import Path
from typing import BinaryIO

from blake3 import blake3
from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

from modelyard.server.core import Core, CoreOf
from modelyard.store.disk import writing
from modelyard.store.manifest import MANIFEST
from modelyard.store.store import AlreadyCommitted, join

ROUTER = APIRouter(prefix="/v1/uploads")

BUFFER_BYTES = 1 << 20


@ROUTER.head("/{digest}/{name}")
async def is_there(core: CoreOf, digest: str, name: str) -> Response:
    """Whether a file of these bytes is here: 204, or 404."""
    _check(digest, name)
    there = await asyncio.to_thread(core.store.has, _uri(core, digest))
    return Response(status_code=204 if there else 404)


@ROUTER.put("/{digest}/{name}", status_code=204)
async def upload(core: CoreOf, digest: str, name: str, request: Request) -> None:
    """Keep the body; ``digest`` is its BLAKE3. The same bytes again, under whatever name, are
    no error."""
    _check(digest, name)
    limit = core.settings.upload_limit_bytes
    if int(request.headers.get("content-length", 0)) > limit:
        raise _too_large(limit)
    await asyncio.to_thread(core.settings.paths.uploads.mkdir, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=core.settings.paths.uploads) as folder:
        with writing(Path(folder)):
            found = await _save(request, Path(folder) / name, limit)
        if found != digest:
            raise HTTPException(422, f"the body has BLAKE3 {found}, and not {digest} as announced")
        await asyncio.to_thread(_keep, core, Path(folder), digest)


async def _save(request: Request, path: Path, limit: int) -> str:
    """Write the body to a file; its BLAKE3."""
    hasher, size, buffer = blake3(), 0, bytearray()
    with path.open("wb") as file:
        async for chunk in request.stream():
            size += len(chunk)
            if size > limit:
                raise _too_large(limit)
            buffer += chunk
            if len(buffer) >= BUFFER_BYTES:
                await asyncio.to_thread(_take, file, hasher, bytes(buffer))
                buffer.clear()
        await asyncio.to_thread(_take, file, hasher, bytes(buffer))
    return hasher.hexdigest()


def _take(file: BinaryIO, hasher: blake3, content: bytes) -> None:
    file.write(content)
    hasher.update(content)


def _keep(core: Core, folder: Path, digest: str) -> None:
    try:
        core.store.commit(folder, _uri(core, digest))
    except AlreadyCommitted:
        return  # the same bytes, sent under another name


def _uri(core: Core, digest: str) -> str:
    return join(core.settings.store_base, "uploads", digest)


def _check(digest: str, name: str) -> None:
    if not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise HTTPException(422, f"{digest!r} is no BLAKE3 digest: 64 digits from 0 to f")
    if name.startswith(".") or name == MANIFEST or len(name.encode()) > 200 or "\0" in name:
        raise HTTPException(422, f"{name!r} can't be the name of an uploaded file; rename it")


def _too_large(limit: int) -> HTTPException:
    return HTTPException(
        413,
        f"the file has more than {limit:,} bytes, the most that this server takes "
        "(MODELYARD_UPLOAD_LIMIT_BYTES); put it into a bucket and write s3://bucket/key",
    )
