"""Routes of launches that read and write artifacts by signed URLs."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from modelyard.contract import LaunchKey
from modelyard.errors import InputError
from modelyard.server.core import CoreOf
from modelyard.store.presigned import (
    CommitBody,
    FolderBody,
    ListAnswer,
    ReadAnswer,
    WriteAnswer,
    WriteBody,
)

ROUTER = APIRouter(prefix="/v1/launches/{sweep}/{task}/{number}/artifacts")


async def _key(sweep: str, task: str, number: int) -> LaunchKey:
    try:
        return LaunchKey(sweep=sweep, task=task, number=number)
    except ValidationError as error:
        raise HTTPException(422, "the number of a launch is 1 or more") from error


KeyOf = Annotated[LaunchKey, Depends(_key)]


@ROUTER.post("/read")
async def read(core: CoreOf, key: KeyOf, body: FolderBody) -> ReadAnswer:
    """A committed folder: its manifest, and a signed URL for each file."""
    try:
        return await core.artifacts.within(partial(core.artifacts.read, key, body.uri))
    except FileNotFoundError as error:
        raise InputError(str(error)) from error


@ROUTER.post("/list")
async def list_folders(core: CoreOf, key: KeyOf, body: FolderBody) -> ListAnswer:
    """The committed folders within one."""
    return await core.artifacts.within(partial(core.artifacts.list, key, body.uri))


@ROUTER.post("/write")
async def write(core: CoreOf, key: KeyOf, body: WriteBody) -> WriteAnswer:
    """Signed URLs for the files of a folder."""
    return await core.artifacts.within(partial(core.artifacts.write, key, body))


@ROUTER.post("/commit", status_code=204)
async def commit(core: CoreOf, key: KeyOf, body: CommitBody) -> None:
    """The files have been sent: write the manifest."""
    await core.artifacts.within(partial(core.artifacts.commit, key, body))


@ROUTER.post("/delete", status_code=204)
async def delete(core: CoreOf, key: KeyOf, body: FolderBody) -> None:
    """Remove a folder."""
    await core.artifacts.within(partial(core.artifacts.delete, key, body.uri))
