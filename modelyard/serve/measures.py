"""What a model server counts, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Measures:
    """Counters of one server process, in a registry of their own."""

    def __init__(self, name: str, version: int) -> None:
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "modelyard_requests", "Answered requests by status.", ["status"], registry=registry
        )
        self._errors = Counter(
            "modelyard_errors", "Requests answered with an error.", ["status"], registry=registry
        )
        self._seconds = Histogram(
            "modelyard_request_seconds",
            "Time from request to answer.",
            buckets=SECONDS_BUCKETS,
            registry=registry,
        )
        self._rows = Counter("modelyard_rows", "Rows predicted.", registry=registry)
        model = Gauge(
            "modelyard_model", "The served version.", ["model", "version"], registry=registry
        )
        model.labels(name, str(version)).set(1)

    def answered(self, status: int, seconds: float) -> None:
        """Count an answered prediction request."""
        self._requests.labels(str(status)).inc()
        self._seconds.observe(seconds)
        if status >= 400:
            self._errors.labels(str(status)).inc()

    def predicted(self, rows: int) -> None:
        """Count predicted rows."""
        self._rows.inc(rows)

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self._registry)
