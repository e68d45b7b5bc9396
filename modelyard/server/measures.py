"""What the server counts about itself, for Prometheus."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from modelyard.api import SweepState, TrialState

COMMIT_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0)


class Measures:
    """One registry a server, so that several servers of a test process don't collide."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.events = Counter(
            "modelyard_events", "Events stored, repeated ones too.", registry=self._registry
        )
        self.batches = Counter(
            "modelyard_batches", "Batches posted, by answer.", ["answer"], registry=self._registry
        )
        self.commit_seconds = Histogram(
            "modelyard_commit_seconds",
            "Time of one group commit of the intake.",
            buckets=COMMIT_BUCKETS,
            registry=self._registry,
        )
        self._sweeps = Gauge(
            "modelyard_sweeps",
            "The newest hundred sweeps by state.",
            ["state"],
            registry=self._registry,
        )
        self._trials = Gauge(
            "modelyard_trials",
            "Trials of running sweeps by state.",
            ["state"],
            registry=self._registry,
        )

    def render(self, sweeps: Iterable[SweepState], trials: Iterable[TrialState]) -> bytes:
        """The exposition text, with the sweeps and trials that there are now."""
        _set(self._sweeps, SweepState, list(sweeps))
        _set(self._trials, TrialState, list(trials))
        return generate_latest(self._registry)


def _set(gauge: Gauge, states: Iterable[str], seen: list[str]) -> None:
    for state in states:
        gauge.labels(state=str(state)).set(sum(one == state for one in seen))
