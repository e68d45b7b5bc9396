"""The journal's calls. One process writes it, under a lease; everybody else asks the server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import Connection

from modelyard.api import Desired, FailureView, Owner, SweepRequest, SweepState
from modelyard.contract import Batch, Document, LaunchKey, Stop, TrialSpec
from modelyard.journal import cursors, events, launches, lease, stages, sweeps, trials
from modelyard.journal.database import Database
from modelyard.journal.rows import EventRow, LaunchRow, News, StageRow, SweepRow, TrialRow


class Journal:
    """Everything that outlives a server, in one database.

    Calls are synchronous and thread-safe. Each writing call is one transaction that requires the
    epoch this journal acquired; reading calls need no lease.

    Args:
        database: a migrated database.
        lease_seconds: age at which somebody else's lease is void.

    Raises:
        LeaseLost: from every writing call, once the lease isn't this journal's (any more).
        ModelyardError: from every call, when the database is locked, unwritable or full.
    """

    def __init__(self, database: Database, *, lease_seconds: float) -> None:
        self._database = database
        self._lease_seconds = lease_seconds
        self._claim = lease.Claim()
        self._epoch: int | None = None

    @classmethod
    def open(cls, url: str, *, lease_seconds: float) -> Journal:
        """A journal on a migrated database (``migrate(url)``); takes no lease yet."""
        return cls(Database(url), lease_seconds=lease_seconds)

    def close(self) -> None:
        """Close the connections; the lease stays as it is."""
        self._database.close()

    @contextmanager
    def _writing(self) -> Iterator[tuple[Connection, float]]:
        with self._database.writing() as connection:
            yield connection, lease.require(connection, self._claim, self._epoch)

    # lease

    def acquire(self, address: str) -> int:
        """Take the lease; see ``lease.acquire``. Returns the epoch to write under."""
        with self._database.writing() as connection:
            epoch = lease.acquire(
                self._database, connection, self._claim, address, self._lease_seconds
            )
        self._epoch = epoch
        return epoch

    def renew(self) -> None:
        """Say that this server lives; to be called a few times within ``lease_seconds``."""
        with self._writing() as (connection, _):
            lease.renew(self._database, connection)

    def release(self) -> None:
        """Let the next server take over at once; this one can't write from here on."""
        with self._writing() as (connection, _):
            lease.release(connection)

    def now(self) -> float:
        """Seconds since 1970 by the database's clock."""
        with self._database.reading() as connection:
            return self._database.now(connection)

    # sweeps

    def create_sweep(self, sweep: str, request: SweepRequest, document: Document) -> SweepRow:
        """Add a sweep and its document; an existing one of the same id or flow run is returned."""
        with self._writing() as (connection, now):
            return sweeps.create(connection, now, sweep, request, document)

    def sweep(self, reference: str | None) -> SweepRow:
        """By id, else the newest of a name; None is the newest of all.

        Raises:
            InputError: there is none.
        """
        with self._database.reading() as connection:
            return sweeps.find(connection, reference)

    def sweep_of_flow_run(self, flow_run: str) -> SweepRow | None:
        """The sweep of a Prefect flow run; None without one."""
        with self._database.reading() as connection:
            return sweeps.of_flow_run(connection, flow_run)

    def sweeps(self, limit: int = 100) -> list[SweepRow]:
        """The newest sweeps, newest first."""
        with self._database.reading() as connection:
            return sweeps.newest(connection, limit)

    def update_sweep(
        self,
        sweep: str,
        *,
        state: SweepState | None = None,
        desired: Desired | None = None,
        message: str | None = None,
        trials: int | None = None,
        run: str | None = None,
        flow_run: str | None = None,
        note: str | None = None,
        actor: str = "server",
        owner: Owner | None = None,
        wish: Desired | None = None,
    ) -> SweepRow:
        """Change what is given and differs, audited. A wish to cancel is never taken back.

        Args:
            sweep: its id.
            state, desired: see ``api``.
            message: one sentence on the state, for people.
            trials: that will reach an end, after a grid has cut them.
            run: the MLflow run's id.
            flow_run: the id of Prefect's run that leads it.
            note: added to the sentences that the user should see, once.
            owner: given, nothing is changed unless the sweep is this one's.
            wish: given, nothing is changed unless this is still desired.
            actor: who does this, for the audit.
        """
        wanted = {
            "state": state,
            "desired": desired,
            "message": message,
            "trials": trials,
            "run": run,
            "flow_run": flow_run,
            "note": note,
        }
        with self._writing() as (connection, now):
            return sweeps.change(connection, now, sweep, wanted, actor, owner, wish)

    def await_flow_run(self, sweep: str, deployment: str) -> SweepRow:
        """Have a new flow run of a deployment lead the sweep, as its tags then say."""
        with self._writing() as (connection, now):
            return sweeps.await_flow_run(connection, now, sweep, deployment)

    def set_owner(self, sweep: str, owner: Owner | None, *, before: Owner | None = None) -> None:
        """Give the sweep to a process, or to nobody; given the one before, only if it is its."""
        with self._writing() as (connection, now):
            sweeps.set_owner(connection, now, sweep, owner, before)

    def renew_owner(self, sweep: str, owner: Owner) -> bool:
        """The owner lives. False when somebody else, or nobody, owns the sweep."""
        with self._writing() as (connection, now):
            return sweeps.renew_owner(connection, now, sweep, owner)

    def lapsed(self, seconds: float) -> list[SweepRow]:
        """Running sweeps whose owner has been silent for longer than ``seconds``."""
        with self._database.reading() as connection:
            return sweeps.lapsed(connection, self._database.now(connection), seconds)

    def document(self, digest: str) -> Document | None:
        """The document of this digest."""
        with self._database.reading() as connection:
            return sweeps.document_of(connection, digest)

    def set_token(self, sweep: str, hashed: str) -> None:
        """Keep the hash of a sweep's token; the one before is void from here on."""
        with self._writing() as (connection, _):
            sweeps.set_token(connection, sweep, hashed)

    def sweep_of_token(self, hashed: str) -> str | None:
        """Id of the sweep whose token has this hash."""
        with self._database.reading() as connection:
            return sweeps.of_token(connection, hashed)

    def unretired(self) -> list[str]:
        """Ids of the sweeps that have ended, or were interrupted, and aren't retired yet."""
        with self._database.reading() as connection:
            return sweeps.unretired(connection)

    def set_retired(self, sweep: str) -> None:
        """What the launches of an ended sweep shared is freed; void once the sweep goes on."""
        with self._writing() as (connection, now):
            sweeps.set_retired(connection, now, sweep)

    # stages

    def begin_stage(self, sweep: str, stage: str) -> StageRow:
        """Start a stage, or return it as it was recorded."""
        with self._writing() as (connection, now):
            return stages.begin(connection, now, sweep, stage)

    def end_stage(self, row: StageRow) -> None:
        """Write a stage's end; its first end stays."""
        with self._writing() as (connection, now):
            stages.end(connection, now, row)

    def restart_stage(self, sweep: str, stage: str) -> StageRow:
        """Start a failed stage again; any other is returned as it is."""
        with self._writing() as (connection, now):
            return stages.restart(connection, now, sweep, stage)

    def stages(self, sweep: str) -> list[StageRow]:
        """All stages of a sweep, in the order they began."""
        with self._database.reading() as connection:
            return stages.of_sweep(connection, sweep)

    # trials

    def put_trial(self, row: TrialRow) -> None:
        """Write a trial; an ended one keeps its end, and the recorder's columns stay."""
        with self._writing() as (connection, _):
            trials.put(connection, row)

    def trials(self, sweep: str) -> list[TrialRow]:
        """All trials of a sweep by number."""
        with self._database.reading() as connection:
            return trials.of_sweep(connection, sweep)

    def trial(self, sweep: str, number: int) -> TrialRow | None:
        """One trial; None where there is no such."""
        with self._database.reading() as connection:
            return trials.one(connection, sweep, number)

    def unrecorded(self) -> list[TrialRow]:
        """Trials of all sweeps that ended and aren't in the tracker yet."""
        with self._database.reading() as connection:
            return trials.unrecorded(connection)

    def set_run(self, sweep: str, number: int, run: str) -> None:
        """Keep a trial's MLflow run id."""
        with self._writing() as (connection, _):
            trials.mark(connection, sweep, number, run=run)

    def set_recorded(self, sweep: str, number: int) -> None:
        """The tracker holds the trial's end."""
        with self._writing() as (connection, _):
            trials.mark(connection, sweep, number, recorded=True)

    # launches

    def commit_launches(self, specs: Sequence[TrialSpec]) -> list[LaunchRow]:
        """Write launches before they are started; the same spec again returns the same row."""
        with self._writing() as (connection, now):
            return [launches.commit(connection, now, spec) for spec in specs]

    def launches(self, sweep: str, task: str | None = None) -> list[LaunchRow]:
        """Launches of a sweep, or of one of its tasks, oldest first."""
        with self._database.reading() as connection:
            return launches.of_sweep(connection, sweep, task)

    def news(self, sweep: str, after: int) -> News:
        """A sweep's wish, open launches and events behind a cursor, in one consistent view."""
        with self._database.reading() as connection:
            # In this order a pause between the two makes it later than it was, never earlier.
            refused_seconds = self._database.refused_seconds
            now = self._database.now(connection)
            return News(
                now=now,
                refused_at=now - refused_seconds,
                desired=sweeps.desired(connection, sweep),
                events=tuple(events.after(connection, after, sweep=sweep)),
                launches=tuple(launches.of_sweep(connection, sweep, None, only_open=True)),
            )

    def stop_launch(self, key: LaunchKey, reason: Stop) -> None:
        """Write why a launch is to end, before any signal; the first reason stays."""
        with self._writing() as (connection, now):
            launches.stop(connection, now, key, reason)

    def end_launch(
        self,
        key: LaunchKey,
        failure: FailureView | None = None,
        *,
        started_at: float | None = None,
    ) -> None:
        """Write how a launch ended; the first end stays, and later events of it are refused.

        Args:
            started_at: when it was seen to run; what it said itself goes before.
        """
        with self._writing() as (connection, now):
            launches.end(connection, now, key, failure, started_at)

    # events

    def append(self, batches: Sequence[tuple[LaunchKey, Batch]]) -> list[int | Exception]:
        """Store many launches' batches in one transaction (group commit).

        Returns:
            For each batch the highest stored sequence number, or ``Fenced`` where the launch
            has no say any more.
        """
        with self._writing() as (connection, now):
            return [*events.append(connection, now, batches)]

    def events(
        self, after: int, *, sweep: str | None = None, task: str | None = None, limit: int = 1000
    ) -> list[EventRow]:
        """Events behind a cursor in the order of their commits.

        Args:
            after: id of the last one known; 0 for all.
            sweep: only its events.
            task: of the sweep, only those of this trial's number or stage.
            limit: the most that are returned.
        """
        with self._database.reading() as connection:
            return events.after(connection, after, sweep=sweep, task=task, limit=limit)

    def cursor(self) -> int:
        """Id of the newest event."""
        with self._database.reading() as connection:
            return events.newest(connection)

    # what a reader keeps over restarts

    def get_cursor(self, reader: str) -> int:
        """Where a reader had come to; 0 for a new one."""
        with self._database.reading() as connection:
            return cursors.get(connection, reader)

    def set_cursor(self, reader: str, value: int) -> None:
        """Keep where a reader has come to."""
        with self._writing() as (connection, _):
            cursors.keep(connection, reader, value)
