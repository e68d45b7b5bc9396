"""The journal on Postgres: the contract, and what only a server can do."""

from __future__ import annotations

import pytest

from tests.contract.journal_suite import JournalSuite
from tests.support.postgres import Postgres, postgres

__all__ = ["postgres"]

pytestmark = pytest.mark.integration


@pytest.fixture
def url(postgres: Postgres) -> str:
    return postgres.database(like=postgres.migrated)


class TestPostgres(JournalSuite):
    """The suite over a database of its own each."""
