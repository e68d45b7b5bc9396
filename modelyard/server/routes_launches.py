"""Routes of launches: documents out, batches in; and the stream of what came in."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from modelyard.contract import Batch, LaunchKey
from modelyard.errors import InputError
from modelyard.server.core import CoreOf

ROUTER = APIRouter(prefix="/v1")

BATCH_LIMIT_BYTES = 8_000_000
"""A spool's worth of events; more at once is nothing that a trial of ours sends."""


@ROUTER.get("/documents/{digest}")
def document(core: CoreOf, digest: str) -> Response:
    """What all launches of a sweep share, by its digest."""
    found = core.journal.document(digest)
    if found is None:
        raise InputError(f"there is no document {digest!r} here")
    # What isn't there isn't sent: an older reader refuses keys that it doesn't know.
    return Response(found.model_dump_json(exclude_defaults=True), media_type="application/json")


@ROUTER.post("/launches/{sweep}/{task}/{number}/events")
async def post_events(
    core: CoreOf, sweep: str, task: str, number: int, request: Request
) -> Response:
    """Store a batch of one launch; the answer may tell it to stop or to slow down."""
    # Read by hand: pydantic takes the bytes as they came, which halves the time of a post.
    body = await request.body()
    key, batch = _read(sweep, task, number, body)
    reply = await core.intake.post(key, batch)
    return Response(reply.model_dump_json(), media_type="application/json")


@ROUTER.get("/events")
async def events(
    core: CoreOf,
    sweep: str | None = None,
    after: Annotated[int | None, Query(ge=0)] = None,
    last_event_id: Annotated[int, Header(ge=0)] = 0,
) -> StreamingResponse:
    """Server-sent events behind a cursor; a browser that reconnects sends its last id itself."""
    found = None if sweep is None else (await asyncio.to_thread(core.journal.sweep, sweep)).id
    chunks = core.stream.subscribe(found, last_event_id if after is None else after)
    return StreamingResponse(
        chunks, media_type="text/event-stream", headers={"Cache-Control": "no-store"}
    )


def _read(sweep: str, task: str, number: int, body: bytes) -> tuple[LaunchKey, Batch]:
    if len(body) > BATCH_LIMIT_BYTES:
        raise HTTPException(413, f"a batch may have {BATCH_LIMIT_BYTES} bytes, not {len(body)}")
    try:
        key = LaunchKey(sweep=sweep, task=task, number=number)
        batch = Batch.model_validate_json(body)
    except ValidationError as error:
        raise HTTPException(422, f"not a batch: {error.errors(include_url=False)[0]}") from error
    if not all(a.sequence < b.sequence for a, b in pairwise(batch.events)):
        raise HTTPException(422, "the sequence numbers of a batch must grow")
    return key, batch
