"""From the two watches of a namespace into the ledger."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from modelyard.k8s.answers import Json
from modelyard.k8s.ledger import Ledger


@dataclass(frozen=True)
class JobSink:
    """Takes the Jobs of a namespace.

    Args:
        freed: called at each deletion: a quota may have room again.
    """

    ledger: Ledger
    namespace: str
    freed: Callable[[str], None]

    def listing(self) -> int:
        """See ``Sink.listing``."""
        return self.ledger.begin_list()

    def listed(self, items: Sequence[Json], mark: int) -> None:
        """See ``Sink.listed``."""
        self.ledger.jobs_listed(self.namespace, items, mark)

    def seen(self, item: Json) -> None:
        """See ``Sink.seen``."""
        self.ledger.job_seen(self.namespace, item)

    def gone(self, item: Json) -> None:
        """See ``Sink.gone``."""
        self.ledger.job_gone(item)
        self.freed(self.namespace)


@dataclass(frozen=True)
class PodSink:
    """Takes the pods of a namespace."""

    ledger: Ledger
    namespace: str

    def listing(self) -> int:
        """See ``Sink.listing``."""
        return 0

    def listed(self, items: Sequence[Json], mark: int) -> None:  # noqa: ARG002
        """See ``Sink.listed``. Nobody but the Job controller makes pods, so no list is too old."""
        self.ledger.pods_listed(self.namespace, items)

    def seen(self, item: Json) -> None:
        """See ``Sink.seen``."""
        self.ledger.pod_seen(item)

    def gone(self, item: Json) -> None:
        """See ``Sink.gone``."""
        self.ledger.pod_seen(item, gone=True)
