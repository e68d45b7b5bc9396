"""Optuna's database: opened with its tables at the newest revision, its errors made ours."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from threading import Lock
from typing import Any

from optuna.distributions import distribution_to_json
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from optuna.storages._rdb.models import (
    BaseModel,
    StudyModel,
    TrialModel,
    TrialParamModel,
    TrialSystemAttributeModel,
    TrialUserAttributeModel,
)
from optuna.storages._rdb.storage import _create_scoped_session
from optuna.trial import FrozenTrial
from sqlalchemy import create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from modelyard.errors import ModelyardError, first_line
from modelyard.journal import postgres

_OPENING = Lock()
"""Two threads that open a fresh database at once would both create its tables."""


def open_storage(url: str) -> RDBStorage:
    """Optuna's storage, its tables made or brought to the newest revision. Beats for nobody.

    Safe for several processes on a Postgres; on SQLite one process opens a fresh file.

    Args:
        url: SQLAlchemy URL.

    Raises:
        ModelyardError: the database can't be used, or is of a newer Optuna.
    """
    address = postgres.parsed(url)
    with _OPENING, translated(url):
        if address.get_backend_name() == "sqlite":
            return _open_sqlite(url)
        # In the URL, as Optuna's migrations connect by themselves.
        address = postgres.within(address, postgres.SHARED_SCHEMA)
        arguments = postgres.engine_arguments(address, connections=1)
        with _alone(address, arguments):
            return _newest(address.render_as_string(hide_password=False), arguments)


def migrate(url: str) -> None:
    """Make Optuna's tables, or bring them to the newest revision.

    Raises:
        ModelyardError: the database can't be used, or is of a newer Optuna.
    """
    open_storage(url).engine.dispose()


def add_trials(
    storage: RDBStorage, study_id: int, first: int, trials: Sequence[FrozenTrial]
) -> list[int]:
    """Store running trials under the numbers from ``first`` on, all or none.

    Those that are there already are left as they are. Optuna's own ``create_new_trial`` tries
    again by itself when the connection is lost, also when only the answer to its commit was, and
    then stores a second trial; and it asks the database four times for each parameter.

    Returns:
        The trials' ids.
    """
    with _create_scoped_session(storage.scoped_session) as session:
        StudyModel.find_or_raise_by_id(study_id, session, for_update=True)
        numbered = session.query(TrialModel.number, TrialModel.trial_id)
        found = numbered.filter(TrialModel.study_id == study_id, TrialModel.number >= first)
        there = {int(number): int(trial_id) for number, trial_id in found}
        new = {
            number: trial for number, trial in enumerate(trials, start=first) if number not in there
        }
        rows = [
            TrialModel(
                number=number,
                study_id=study_id,
                state=trial.state,
                datetime_start=trial.datetime_start,
            )
            for number, trial in new.items()
        ]
        session.add_all(rows)
        session.flush()
        for row, trial in zip(rows, new.values(), strict=True):
            trial_id = int(row.trial_id)
            session.add_all(_parts(trial_id, trial))
            there[int(row.number)] = trial_id
        return [there[number] for number in range(first, first + len(trials))]


def _parts(trial_id: int, trial: FrozenTrial) -> Iterator[BaseModel]:
    """The rows of a trial's parameters and attributes."""
    for name, value in trial.params.items():
        of = trial.distributions[name]
        yield TrialParamModel(
            trial_id=trial_id,
            param_name=name,
            param_value=of.to_internal_repr(value),
            distribution_json=distribution_to_json(of),
        )
    for key, value in trial.user_attrs.items():
        yield TrialUserAttributeModel(trial_id=trial_id, key=key, value_json=json.dumps(value))
    for key, value in trial.system_attrs.items():
        yield TrialSystemAttributeModel(trial_id=trial_id, key=key, value_json=json.dumps(value))


@contextmanager
def translated(url: str) -> Iterator[None]:
    """Errors of the database become one of ours, which names it without its password."""
    try:
        yield
    except (StorageInternalError, SQLAlchemyError, sqlite3.Error) as error:
        cause = error.__cause__ or error
        name = postgres.name_of(postgres.parsed(url))
        said = first_line(getattr(cause, "orig", cause))
        raise ModelyardError(f"The study's database {name} can't be used: {said}.") from error


def _open_sqlite(url: str) -> RDBStorage:
    # Set before Optuna opens the file: a WAL commit costs a third, and readers never block it.
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"), timeout=10)) as connection:
        connection.execute("pragma journal_mode = wal")
    storage = _newest(url, {"connect_args": {"timeout": 10}})
    event.listen(storage.engine, "connect", _on_connect)
    storage.engine.dispose()
    return storage


def _newest(url: str, arguments: dict[str, Any]) -> RDBStorage:
    # Optuna takes the URL for a template.
    literal = url.replace("{", "{{").replace("}", "}}")
    storage = RDBStorage(literal, engine_kwargs=arguments, skip_compatibility_check=True)
    here = storage.get_current_version()
    if here == storage.get_head_version():
        return storage
    if here not in storage.get_all_versions():
        raise ModelyardError(
            f"The study's database is of a newer Optuna than this one ({here}); install that."
        )
    storage.upgrade()
    return storage


@contextmanager
def _alone(address: URL, arguments: Mapping[str, Any]) -> Iterator[None]:
    pool = ("pool_size", "max_overflow", "pool_timeout", "pool_pre_ping")
    guard = create_engine(
        address,
        poolclass=NullPool,
        **{key: value for key, value in arguments.items() if key not in pool},
    )
    with guard.begin() as connection:
        postgres.alone(connection)
        yield


def _on_connect(connection: Any, _record: Any) -> None:
    connection.execute("pragma synchronous = normal")
