"""First tables: lease, documents, sweeps, stages, trials, launches, events, audit, cursors.

Written out rather than taken from ``tables.py``: a revision stays what it was when tables change.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SERIAL = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Create all tables."""
    _create_bookkeeping()
    _create_sweeps()
    _create_trials()
    _create_launches()
    _create_events()


def _create_bookkeeping() -> None:
    op.create_table(
        "lease",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("holder", sa.String, nullable=False),
        sa.Column("address", sa.String, nullable=False),
        sa.Column("host", sa.String, nullable=False),
        sa.Column("process", sa.Integer, nullable=False),
        sa.Column("started", sa.Float, nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("renewed_at", sa.Float, nullable=False),
        sa.Column("released", sa.Boolean, nullable=False),
    )
    op.create_table(
        "documents",
        sa.Column("digest", sa.String, primary_key=True),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_table(
        "audit",
        sa.Column("id", SERIAL, primary_key=True, autoincrement=True),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("actor", sa.String, nullable=False),
        sa.Column("action", sa.String, nullable=False),
        sa.Column("subject", sa.String, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "cursors",
        sa.Column("reader", sa.String, primary_key=True),
        sa.Column("value", sa.BigInteger, nullable=False),
    )


def _create_sweeps() -> None:
    op.create_table(
        "sweeps",
        sa.Column("serial", SERIAL, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String, nullable=False, unique=True),
        sa.Column("name", sa.String, nullable=False, index=True),
        sa.Column("project", sa.String, nullable=False),
        sa.Column("experiment", sa.Text, nullable=False),
        sa.Column("document", sa.String, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("desired", sa.String, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("ended_at", sa.Float),
        sa.Column("trials", sa.Integer),
        sa.Column("notes", sa.Text, nullable=False),
        sa.Column("owner", sa.Text),
        sa.Column("owner_renewed_at", sa.Float),
        sa.Column("flow_run", sa.String, unique=True),
        sa.Column("run", sa.String),
        sa.Column("tags", sa.Text, nullable=False),
    )
    op.create_table(
        "stages",
        sa.Column("sweep", sa.String, primary_key=True),
        sa.Column("stage", sa.String, primary_key=True),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("started_at", sa.Float, nullable=False),
        sa.Column("ended_at", sa.Float),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("failure", sa.Text),
    )


def _create_trials() -> None:
    op.create_table(
        "trials",
        sa.Column("sweep", sa.String, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("parameters", sa.Text, nullable=False),
        sa.Column("objectives", sa.Text, nullable=False),
        sa.Column("metrics", sa.Text, nullable=False),
        sa.Column("step", sa.Integer),
        sa.Column("model", sa.Text),
        sa.Column("failure", sa.Text),
        sa.Column("run", sa.String),
        sa.Column("recorded", sa.Boolean, nullable=False),
    )


def _create_launches() -> None:
    op.create_table(
        "launches",
        sa.Column("sweep", sa.String, primary_key=True),
        sa.Column("task", sa.String, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("spec", sa.Text, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("stop", sa.String),
        sa.Column("stop_at", sa.Float),
        sa.Column("result", sa.Text),
        sa.Column("said", sa.Text),
        sa.Column("ended_at", sa.Float),
        sa.Column("failure", sa.Text),
        sa.Column("beat_at", sa.Float),
        sa.Column("phase", sa.String),
        sa.Column("phase_steps", sa.Boolean, nullable=False),
        sa.Column("checkpoint", sa.Integer),
    )


def _create_events() -> None:
    op.create_table(
        "events",
        sa.Column("id", SERIAL, primary_key=True, autoincrement=True),
        sa.Column("sweep", sa.String, nullable=False),
        sa.Column("task", sa.String, nullable=False),
        sa.Column("launch", sa.Integer, nullable=False),
        sa.Column("sequence", sa.Integer, nullable=False),
        sa.Column("received_at", sa.Float, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.UniqueConstraint("sweep", "task", "launch", "sequence", name="one_event"),
        sqlite_autoincrement=True,
    )
    op.create_index("events_of_sweep", "events", ["sweep", "id"])
