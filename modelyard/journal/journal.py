"""The journal's calls. One process writes it, under a lease; everybody else asks the server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from modelyard.api import Desired, Owner, SweepRequest, SweepState
from modelyard.contract import Batch, Document, LaunchKey, Stop, TrialSpec
from modelyard.journal.rows import EventRow, LaunchRow, StageRow, SweepRow, TrialRow


class Journal(Protocol):
    """Signatures to build against; the sweep room replaces this Protocol by the class itself.

    All calls are synchronous, thread-safe, and take one transaction that requires the epoch.

    Raises:
        LeaseLost: from every writing call, once another server raised the epoch.
    """

    # lease
    def acquire(self, address: str) -> int: ...
    def renew(self) -> None: ...
    def release(self) -> None: ...
    def now(self) -> float: ...

    # sweeps
    def create_sweep(self, sweep: str, request: SweepRequest, document: Document) -> SweepRow: ...
    def sweep(self, reference: str | None) -> SweepRow: ...  # id, name (newest) or None (newest)
    def sweeps(self, limit: int = 100) -> list[SweepRow]: ...
    def sweep_of_flow_run(self, flow_run: str) -> SweepRow | None: ...
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
    ) -> SweepRow: ...  # every change is audited
    def set_owner(self, sweep: str, owner: Owner | None) -> None: ...
    def renew_owner(self, sweep: str, owner: Owner) -> bool: ...  # False: somebody else owns it
    def lapsed(self, seconds: float) -> list[SweepRow]: ...  # running, owner silent for longer
    def document(self, digest: str) -> Document | None: ...

    # stages
    def begin_stage(self, sweep: str, stage: str) -> StageRow: ...  # or the recorded one
    def end_stage(self, row: StageRow) -> None: ...
    def restart_stage(self, sweep: str, stage: str) -> StageRow: ...  # a failed one, on --continue
    def stages(self, sweep: str) -> list[StageRow]: ...

    # trials
    def put_trial(self, row: TrialRow) -> None: ...
    def trials(self, sweep: str) -> list[TrialRow]: ...
    def unrecorded(self) -> list[TrialRow]: ...  # ended, not yet in the tracker
    def set_run(self, sweep: str, number: int, run: str) -> None: ...
    def set_recorded(self, sweep: str, number: int) -> None: ...

    # launches
    def commit_launch(self, spec: TrialSpec) -> LaunchRow: ...  # the same spec again: the same row
    def launches(self, sweep: str, task: str | None = None) -> list[LaunchRow]: ...
    def stop_launch(self, key: LaunchKey, reason: Stop) -> None: ...  # first reason stays
    def end_launch(self, key: LaunchKey, failure: Any | None = None) -> None: ...

    # events
    def append(self, batches: Sequence[tuple[LaunchKey, Batch]]) -> list[int | Exception]: ...
    def events(
        self, after: int, *, sweep: str | None = None, task: str | None = None, limit: int = 1000
    ) -> list[EventRow]: ...
    def cursor(self) -> int: ...

    # what a reader keeps over restarts (the recorder's cursor)
    def get_cursor(self, reader: str) -> int: ...
    def set_cursor(self, reader: str, value: int) -> None: ...
