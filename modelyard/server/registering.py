"""What the registry is given: the model with all that its evidence comes from."""

from __future__ import annotations

from modelyard.data.card import DataCard
from modelyard.journal.rows import SweepRow
from modelyard.registry.register import Candidate
from modelyard.server import handover
from modelyard.server.live import LiveJournal
from modelyard.store.store import Store


def candidate_of(journal: LiveJournal, sweep: SweepRow, store: Store) -> Candidate:
    """The sweep's model as evaluated, its files verified.

    Raises:
        ModelyardError: an earlier stage isn't complete.
        DigestMismatch: a file isn't what its digest says.
    """
    prepared = handover.outcome(journal, sweep.id, "prepare")
    spec, evaluation = handover.accepted(journal, sweep.id, "evaluate")
    return Candidate(
        sweep=sweep,
        winner=handover.winner(journal, sweep).trial,
        model=store.fetch(spec.inputs["model"]),
        snapshot=store.fetch(str(prepared["snapshot"])),
        card=DataCard.model_validate(prepared["card"]),
        data_digest=str(prepared["digest"]),
        evaluation=evaluation,
        champion=spec.inputs.get("champion"),
    )
