"""Bring a journal's tables to the newest revision, by Alembic, from within the package."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection
from sqlalchemy.schema import CreateSchema

from modelyard.errors import ModelyardError
from modelyard.journal import postgres
from modelyard.journal.database import Database

FOLDER = Path(__file__).parent / "migrations"


def migrate(url: str) -> str:
    """Migrate the journal; one at the newest revision is left as it is.

    All revisions run in one transaction that keeps others out, so a second process that migrates
    at the same time waits and then finds nothing to do.

    Args:
        url: SQLAlchemy URL of the journal.

    Returns:
        The revision it is at now.

    Raises:
        ModelyardError: the database can't be written, or is of a newer Modelyard.
    """
    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    database = Database(url)
    try:
        with database.writing() as connection:
            _keep_others_out(connection)
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except CommandError as error:
        raise ModelyardError(
            f"The journal {database.name} is of a newer Modelyard than this one "
            f"({error}); install that version."
        ) from error
    finally:
        database.close()
    return ScriptDirectory.from_config(config).get_current_head() or ""


def _keep_others_out(connection: Connection) -> None:
    postgres.alone(connection)
    if connection.dialect.name == "postgresql":
        connection.execute(CreateSchema(postgres.SCHEMA, if_not_exists=True))
