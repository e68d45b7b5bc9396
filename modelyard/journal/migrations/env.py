"""Alembic's entry: runs the revisions on the connection, in the transaction, it is given."""

from alembic import context

from modelyard.journal.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    # The caller's transaction is the only one: Alembic is not to commit between revisions.
    transactional_ddl=True,
)
context.run_migrations()
