"""What all controllers are: whoever runs one stage of a sweep, by a reconciler over its work."""

from __future__ import annotations

from abc import ABC, abstractmethod

from modelyard.contract import Document
from modelyard.errors import ModelyardError
from modelyard.journal.journal import Journal
from modelyard.journal.rows import StageRow, SweepRow
from modelyard.settings import Settings
from modelyard.sweep.jobs import JobBoard
from modelyard.sweep.patience import patiently
from modelyard.sweep.reconciler import Boundary, Reconciler
from modelyard.sweep.work import Work
from modelyard.sweep.world import Finish


class Controller(ABC):
    """Runs one stage of one sweep, begun in the journal before.

    All methods belong to one event loop; ``wake`` may be called from any thread.

    Args:
        sweep: its row; what is desired is read anew at each look.
        boundary: see ``reconciler.Boundary``.
    """

    def __init__(
        self,
        *,
        sweep: SweepRow,
        journal: Journal,
        board: JobBoard,
        settings: Settings,
        boundary: Boundary = lambda _action, _when: None,
    ) -> None:
        self._sweep = sweep
        self._journal = journal
        self._board = board
        self._settings = settings
        self._boundary = boundary
        self._reconciler: Reconciler | None = None

    @abstractmethod
    async def run(self) -> Finish:
        """Run until the stage is complete, failed, cancelled or interrupted.

        Its end is in the journal before this returns; an interrupted one stays open.

        Raises:
            LeaseLost: another server goes on with it.
            ModelyardError: journal, executor or what else it needs couldn't be used for a minute.
        """

    def wake(self) -> None:
        """Events of this sweep were stored, or something else is wanted of it."""
        if self._reconciler is not None:
            self._reconciler.wake()

    async def _document(self) -> Document:
        document = await patiently(self._journal.document, self._sweep.document)
        if document is None:
            raise ModelyardError(f"The journal has no document of sweep {self._sweep.id}.")
        return document

    async def _stages(self) -> dict[str, StageRow]:
        rows = await patiently(self._journal.stages, self._sweep.id)
        return {row.stage: row for row in rows}

    async def _reconcile(self, work: Work, *, started_at: float) -> Finish:
        """Bring the stage's work to its end."""
        self._reconciler = Reconciler(
            sweep=self._sweep.id,
            started_at=started_at,
            work=work,
            journal=self._journal,
            board=self._board,
            boundary=self._boundary,
        )
        return await self._reconciler.run()
