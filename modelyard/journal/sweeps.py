"""Rows of sweeps and documents. Each function works within the caller's transaction."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from modelyard.api import ENDED, Desired, Owner, SweepRequest, SweepState
from modelyard.contract import Document
from modelyard.errors import InputError
from modelyard.journal import audit
from modelyard.journal.rows import SweepRow
from modelyard.journal.tables import documents, sweeps


def of_flow_run(connection: Connection, flow_run: str) -> SweepRow | None:
    """The sweep of a Prefect flow run; None without one."""
    row = connection.execute(select(sweeps).where(sweeps.c.flow_run == flow_run)).one_or_none()
    return None if row is None else _row(row)


def create(
    connection: Connection, now: float, sweep: str, request: SweepRequest, document: Document
) -> SweepRow:
    """Add a sweep; one of the same id or flow run is returned as it is."""
    known = sweeps.c.id == sweep
    if request.flow_run is not None:  # compared with None it would be any sweep without one
        known = known | (sweeps.c.flow_run == request.flow_run)
    row = connection.execute(select(sweeps).where(known)).one_or_none()
    if row is not None:
        return _row(row)
    put_document(connection, document)
    connection.execute(
        insert(sweeps).values(
            id=sweep,
            name=request.experiment["name"],
            project=request.experiment.get("project", "default"),
            experiment=json.dumps(request.experiment),
            document=document.digest,
            state=SweepState.RUNNING,
            desired=Desired.RUNNING,
            message="",
            created_at=now,
            notes=json.dumps(request.notes),
            owner=None if request.owner is None else request.owner.model_dump_json(),
            owner_renewed_at=None if request.owner is None else now,
            flow_run=request.flow_run,
            tags=json.dumps(request.tags),
        )
    )
    audit.add(connection, at=now, actor="client", action="create", subject=sweep, detail="")
    return get(connection, sweep)


def get(connection: Connection, sweep: str) -> SweepRow:
    """The sweep of this id.

    Raises:
        InputError: there is none.
    """
    row = connection.execute(select(sweeps).where(sweeps.c.id == sweep)).one_or_none()
    if row is None:
        raise InputError(f"There is no sweep {sweep!r}; `modelyard status` lists those there are.")
    return _row(row)


def desired(connection: Connection, sweep: str) -> Desired:
    """What somebody wants of a sweep."""
    return Desired(connection.execute(select(sweeps.c.desired).filter_by(id=sweep)).scalar_one())


def find(connection: Connection, reference: str | None) -> SweepRow:
    """The sweep of this id, else the newest of this name; None is the newest of all.

    Raises:
        InputError: there is none.
    """
    newest = select(sweeps).order_by(sweeps.c.serial.desc()).limit(1)
    if reference is None:
        row = connection.execute(newest).one_or_none()
        if row is None:
            raise InputError("There is no sweep yet; start one with `modelyard run FILE`.")
        return _row(row)
    row = connection.execute(select(sweeps).where(sweeps.c.id == reference)).one_or_none()
    row = row or connection.execute(newest.where(sweeps.c.name == reference)).one_or_none()
    return get(connection, reference) if row is None else _row(row)


def newest(connection: Connection, limit: int) -> list[SweepRow]:
    """The newest sweeps, newest first."""
    rows = connection.execute(select(sweeps).order_by(sweeps.c.serial.desc()).limit(limit))
    return [_row(row) for row in rows]


def change(
    connection: Connection,
    now: float,
    sweep: str,
    wanted: Mapping[str, Any],
    actor: str,
    owner: Owner | None,
    wish: Desired | None,
) -> SweepRow:
    """Write what differs, with one audit row; ``note`` is added once to the notes.

    A wish to cancel is final: no later wish replaces it. Given an owner, nothing is written
    once the sweep isn't its own; given a wish, nothing once another has replaced it.
    """
    row = get(connection, sweep)
    if owner not in (None, row.owner) or wish not in (None, row.desired):
        return row
    values = {k: v for k, v in wanted.items() if v is not None and v != getattr(row, k, None)}
    if row.desired is Desired.CANCELLED:
        values.pop("desired", None)
    note = values.pop("note", None)
    if note is not None and note not in row.notes:
        values["notes"] = json.dumps([*row.notes, note])
    if "state" in values:
        values["ended_at"] = now if values["state"] in (*ENDED, SweepState.INTERRUPTED) else None
        values["retired_at"] = None
    if not values:
        return row
    connection.execute(update(sweeps).where(sweeps.c.id == sweep).values(**values))
    detail = json.dumps({k: str(v) for k, v in values.items() if not k.endswith("_at")})
    audit.add(connection, at=now, actor=actor, action="change", subject=sweep, detail=detail)
    return get(connection, sweep)


def await_flow_run(connection: Connection, now: float, sweep: str, deployment: str) -> SweepRow:
    """Have a new flow run of a deployment lead the sweep from now on, told by its tags.

    The tag ``earlier_flow_run`` keeps the id of the one before, whose place stands empty.
    """
    row = get(connection, sweep)
    earlier = {} if row.flow_run is None else {"earlier_flow_run": row.flow_run}
    tags = json.dumps({**row.tags, "deployment": deployment, **earlier})
    connection.execute(update(sweeps).where(sweeps.c.id == sweep).values(flow_run=None, tags=tags))
    audit.add(
        connection, at=now, actor="client", action="await flow run", subject=sweep, detail=tags
    )
    return get(connection, sweep)


def set_owner(
    connection: Connection, now: float, sweep: str, owner: Owner | None, before: Owner | None
) -> None:
    """Give the sweep to a process, or to nobody; given the one before, only if it is its."""
    text = None if owner is None else owner.model_dump_json()
    change = update(sweeps).where(sweeps.c.id == sweep)
    if before is not None:
        change = change.where(sweeps.c.owner == before.model_dump_json())
    connection.execute(change.values(owner=text, owner_renewed_at=None if owner is None else now))


def renew_owner(connection: Connection, now: float, sweep: str, owner: Owner) -> bool:
    """The owner lives. False when the sweep isn't its own (any more)."""
    done = connection.execute(
        update(sweeps)
        .where(sweeps.c.id == sweep, sweeps.c.owner == owner.model_dump_json())
        .values(owner_renewed_at=now)
    )
    return done.rowcount == 1


def lapsed(connection: Connection, now: float, seconds: float) -> list[SweepRow]:
    """Running sweeps whose owner has been silent for longer."""
    rows = connection.execute(
        select(sweeps).where(
            sweeps.c.state == SweepState.RUNNING,
            sweeps.c.owner.is_not(None),
            sweeps.c.owner_renewed_at < now - seconds,
        )
    )
    return [_row(row) for row in rows]


def set_token(connection: Connection, sweep: str, hashed: str) -> None:
    """Keep the hash of a sweep's token, in place of the one before."""
    connection.execute(update(sweeps).where(sweeps.c.id == sweep).values(token=hashed))


def of_token(connection: Connection, hashed: str) -> str | None:
    """Id of the sweep whose token has this hash."""
    return connection.scalar(select(sweeps.c.id).where(sweeps.c.token == hashed))


def unretired(connection: Connection) -> list[str]:
    """Ids of sweeps that have ended and whose launches' shared things aren't freed yet."""
    query = select(sweeps.c.id).where(sweeps.c.ended_at.is_not(None), sweeps.c.retired_at.is_(None))
    return list(connection.scalars(query.order_by(sweeps.c.serial)))


def set_retired(connection: Connection, now: float, sweep: str) -> None:
    """The sweep has ended and holds nothing any more; one that goes on again isn't touched."""
    connection.execute(
        update(sweeps)
        .where(sweeps.c.id == sweep, sweeps.c.ended_at.is_not(None))
        .values(retired_at=now)
    )


def put_document(connection: Connection, document: Document) -> None:
    """Keep a document under its digest; the same again changes nothing."""
    if document_of(connection, document.digest) is None:
        connection.execute(
            insert(documents).values(digest=document.digest, body=document.model_dump_json())
        )


def document_of(connection: Connection, digest: str) -> Document | None:
    """The document of this digest."""
    body = connection.scalar(select(documents.c.body).where(documents.c.digest == digest))
    return None if body is None else Document.model_validate_json(body)


def _row(row: Row[Any]) -> SweepRow:
    return SweepRow(
        id=row.id,
        name=row.name,
        project=row.project,
        experiment=json.loads(row.experiment),
        document=row.document,
        state=SweepState(row.state),
        desired=Desired(row.desired),
        message=row.message,
        created_at=row.created_at,
        ended_at=row.ended_at,
        trials=row.trials,
        notes=tuple(json.loads(row.notes)),
        owner=None if row.owner is None else Owner.model_validate_json(row.owner),
        owner_renewed_at=row.owner_renewed_at,
        flow_run=row.flow_run,
        run=row.run,
        tags=json.loads(row.tags),
    )
