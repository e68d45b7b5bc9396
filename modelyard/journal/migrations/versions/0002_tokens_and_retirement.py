"""A sweep's token as its hash, and when what its launches shared was freed after its end."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns."""
    op.add_column("sweeps", sa.Column("token", sa.String))
    op.add_column("sweeps", sa.Column("retired_at", sa.Float))
    op.execute("UPDATE sweeps SET retired_at = ended_at")  # they shared nothing yet
    op.create_index("token_of_sweep", "sweeps", ["token"], unique=True)
