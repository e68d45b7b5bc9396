"""A trial's health, what it is judged by together with the metric, and where its numbers lie."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; of older trials no health was measured."""
    op.add_column("trials", sa.Column("health", sa.Text, nullable=False, server_default="{}"))
    op.add_column("trials", sa.Column("total", sa.Float))
    op.add_column("trials", sa.Column("numbers", sa.Text))
