"""The journal's tables. Models of the wire are kept as JSON text, so that both databases read back
exactly what was written (NaN included)."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

METADATA = MetaData()

SERIAL = BigInteger().with_variant(Integer, "sqlite")
"""SQLite numbers rows by itself only where the key is called INTEGER."""

lease = Table(
    "lease",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("holder", String, nullable=False),
    Column("address", String, nullable=False),
    Column("host", String, nullable=False),
    Column("process", Integer, nullable=False),
    Column("started", Float, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("renewed_at", Float, nullable=False),
    Column("released", Boolean, nullable=False),
)

documents = Table(
    "documents",
    METADATA,
    Column("digest", String, primary_key=True),
    Column("body", Text, nullable=False),
)

sweeps = Table(
    "sweeps",
    METADATA,
    Column("serial", SERIAL, primary_key=True, autoincrement=True),
    Column("id", String, nullable=False, unique=True),
    Column("name", String, nullable=False, index=True),
    Column("project", String, nullable=False),
    Column("experiment", Text, nullable=False),
    Column("document", String, nullable=False),
    Column("state", String, nullable=False),
    Column("desired", String, nullable=False),
    Column("message", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("ended_at", Float),
    Column("trials", Integer),
    Column("notes", Text, nullable=False),
    Column("owner", Text),
    Column("owner_renewed_at", Float),
    Column("flow_run", String, unique=True),
    Column("run", String),
    Column("tags", Text, nullable=False),
    Column("token", String),
    Column("retired_at", Float),
    Index("token_of_sweep", "token", unique=True),
)

stages = Table(
    "stages",
    METADATA,
    Column("sweep", String, primary_key=True),
    Column("stage", String, primary_key=True),
    Column("state", String, nullable=False),
    Column("started_at", Float, nullable=False),
    Column("ended_at", Float),
    Column("outcome", Text, nullable=False),
    Column("failure", Text),
)

trials = Table(
    "trials",
    METADATA,
    Column("sweep", String, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("state", String, nullable=False),
    Column("parameters", Text, nullable=False),
    Column("objectives", Text, nullable=False),
    Column("metrics", Text, nullable=False),
    Column("step", Integer),
    Column("model", Text),
    Column("failure", Text),
    Column("run", String),
    Column("recorded", Boolean, nullable=False),
    Column("health", Text, nullable=False, server_default="{}"),
    Column("total", Float),
    Column("numbers", Text),
)

launches = Table(
    "launches",
    METADATA,
    Column("sweep", String, primary_key=True),
    Column("task", String, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("spec", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("stop", String),
    Column("stop_at", Float),
    Column("result", Text),
    Column("said", Text),
    Column("ended_at", Float),
    Column("failure", Text),
    Column("started_at", Float),
    Column("beat_at", Float),
    Column("phase", String),
    Column("phase_steps", Boolean, nullable=False),
    Column("checkpoint", Integer),
)

events = Table(
    "events",
    METADATA,
    Column("id", SERIAL, primary_key=True, autoincrement=True),
    Column("sweep", String, nullable=False),
    Column("task", String, nullable=False),
    Column("launch", Integer, nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("received_at", Float, nullable=False),
    Column("body", Text, nullable=False),
    UniqueConstraint("sweep", "task", "launch", "sequence", name="one_event"),
    Index("events_of_sweep", "sweep", "id"),
    sqlite_autoincrement=True,
)

audit = Table(
    "audit",
    METADATA,
    Column("id", SERIAL, primary_key=True, autoincrement=True),
    Column("at", Float, nullable=False),
    Column("actor", String, nullable=False),
    Column("action", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("detail", Text, nullable=False),
    sqlite_autoincrement=True,
)

cursors = Table(
    "cursors",
    METADATA,
    Column("reader", String, primary_key=True),
    Column("value", BigInteger, nullable=False),
)
