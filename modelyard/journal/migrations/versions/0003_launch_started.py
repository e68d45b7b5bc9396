"""When a launch began to run: before, it only waited for its place."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; launches that were heard of began where they were made, on one machine."""
    op.add_column("launches", sa.Column("started_at", sa.Float))
    op.execute("UPDATE launches SET started_at = created_at WHERE beat_at IS NOT NULL")
