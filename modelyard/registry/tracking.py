"""MLflow runs as Modelyard keeps them: a parent run a sweep, a child run a trial."""

from __future__ import annotations

import logging
import re
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

from modelyard.contract import Scalar
from modelyard.errors import first_line
from modelyard.registry.library import open_client

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param, RunTag

    Entry: TypeAlias = Metric | Param | RunTag

LOG = logging.getLogger(__name__)

SWEEP = "modelyard.sweep"
TRIAL = "modelyard.trial"
KIND = "modelyard.kind"
PARENT = "mlflow.parentRunId"

T = TypeVar("T")
RunStatus = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]

_METRICS, _ENTRIES = 800, 100
"""Most metrics, and parameters or tags, of one call: MLflow allows 1000 in all, and 100 of each of
the latter."""
_FORBIDDEN = re.compile(r"[^\w\-. /:]")
_PERMANENT = frozenset({"INVALID_PARAMETER_VALUE", "INVALID_STATE", "RESOURCE_DOES_NOT_EXIST"})
"""MLflow's error codes for what it will refuse again, however often it is tried."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """One value of a metric. ``at`` is seconds since 1970."""

    key: str
    step: int
    value: float
    at: float


class Tracking:
    """The tracking store. One process holds it: the server.

    The constructor is cheap; ``open`` imports MLflow (4 s) and creates a fresh store (5 s). Safe
    for several threads: finding or making a run is one step for all of them.

    Args:
        tracking_uri: ``sqlite:///…/mlflow.db``, or an MLflow server's address. A server may be
            away: each call then raises what the client raises, and may be repeated.
        artifact_root: URI or folder under which each experiment keeps its artifacts.
    """

    def __init__(self, tracking_uri: str, artifact_root: str) -> None:
        self.tracking_uri = tracking_uri
        root = artifact_root if "://" in artifact_root else Path(artifact_root).absolute().as_uri()
        self.artifact_root = root.rstrip("/")
        self._lock = threading.RLock()
        self._experiments: dict[str, str] = {}
        self._refused: dict[str, Counter[str]] = {}

    def open(self) -> None:
        """Import MLflow and migrate the store; harmless when repeated."""
        with self._lock:
            _ = self._client

    @property
    def name(self) -> str:
        """The store's address as it may be shown: without a user's name and password."""
        return re.sub(r"//[^/@]*@", "//", self.tracking_uri)

    @property
    def client(self) -> MlflowClient:
        """MLflow's client, opened at first use."""
        with self._lock:
            return self._client

    @cached_property
    def _client(self) -> MlflowClient:
        return open_client(self.tracking_uri)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other threads from finding or making anything meanwhile."""
        with self._lock:
            yield

    def experiment(self, project: str) -> str:
        """Id of a project's experiment; made where there is none, restored where it was deleted.

        Its artifacts lie under ``artifact_root``, which MLflow fixes at creation.
        """
        with self._lock:
            if project not in self._experiments:
                self._experiments[project] = self._find_or_make_experiment(project)
            return self._experiments[project]

    def _find_or_make_experiment(self, project: str) -> str:
        found = self.client.get_experiment_by_name(project)
        if found is None:
            location = f"{self.artifact_root}/{project}"
            return str(self.client.create_experiment(project, artifact_location=location))
        if found.lifecycle_stage == "deleted":
            self.client.restore_experiment(found.experiment_id)
        return str(found.experiment_id)

    def sweep_run(
        self, *, sweep: str, name: str, project: str, tags: Mapping[str, str], at: float
    ) -> str:
        """Id of a sweep's parent run, found by its tags or made."""
        experiment, mark = self.experiment(project), {KIND: "sweep", SWEEP: sweep}
        with self._lock:
            found = self.client.search_runs([experiment], _condition(mark), max_results=1)
            if found:
                return str(found[0].info.run_id)
            return self._make(experiment, mark, tags, name=f"{name}-{sweep}", at=at)

    def trial_runs(self, sweep: str, project: str) -> dict[int, str]:
        """Ids of the child runs that a sweep has, by their trials' numbers."""
        experiment, found = self.experiment(project), dict[int, str]()
        condition, token = _condition({KIND: "trial", SWEEP: sweep}), None
        while True:
            page = self.client.search_runs([experiment], condition, page_token=token)
            found |= {int(run.data.tags[TRIAL]): str(run.info.run_id) for run in page}
            token = page.token
            if not token:
                return found

    def make_trial_run(
        self,
        *,
        sweep: str,
        number: int,
        project: str,
        parent: str,
        tags: Mapping[str, str],
        at: float,
    ) -> str:
        """Id of a new child run."""
        mark = {KIND: "trial", SWEEP: sweep, TRIAL: str(number), PARENT: parent}
        return self._make(self.experiment(project), mark, tags, name=f"trial-{number}", at=at)

    def _make(
        self,
        experiment: str,
        mark: Mapping[str, str],
        tags: Mapping[str, str],
        *,
        name: str,
        at: float,
    ) -> str:
        made = self.client.create_run(
            experiment, start_time=int(at * 1000), tags={**tags, **mark}, run_name=name
        )
        return str(made.info.run_id)

    def exists(self, run: str) -> bool:
        """Whether a run is there and not deleted."""
        from mlflow.exceptions import MlflowException

        try:
            return bool(self.client.get_run(run).info.lifecycle_stage == "active")
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return False
            raise

    def steps(self, run: str) -> dict[str, set[int]]:
        """The steps that a run holds a value for, by metric."""
        client = self.client
        keys = client.get_run(run).data.metrics
        return {key: {m.step for m in client.get_metric_history(run, key)} for key in keys}

    def log(
        self,
        run: str,
        *,
        points: Iterable[Point] = (),
        params: Mapping[str, Scalar] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Write metrics, parameters and tags in as few calls as MLflow's limits allow.

        An entry that MLflow refuses for good is left out, and takes no other with it. It is named
        in the log: a metric with its first point, and with how many there were when the run ends.

        Raises:
            Exception: whatever MLflow raised for the run itself, as one that was deleted, or for
                being away. Part may be written then.
        """
        from mlflow.entities import Metric, Param, RunTag

        metrics = [
            Metric(legal(point.key), point.value, int(point.at * 1000), point.step)
            for point in points
        ]
        entries = [Param(legal(key), str(value)) for key, value in (params or {}).items()]
        marks = [RunTag(key, value) for key, value in (tags or {}).items()]
        parts: tuple[list[Sequence[Entry]], ...] = (
            _parts(metrics, _METRICS),
            _parts(entries, _ENTRIES),
            _parts(marks, _ENTRIES),
        )
        for some in zip_longest(*parts, fillvalue=()):
            self._log_acceptable(run, [entry for part in some for entry in part])

    def _log_acceptable(self, run: str, entries: Sequence[Entry], *, exists: bool = False) -> None:
        """MLflow takes all of a call or nothing, so what was refused is halved and tried again.

        Args:
            exists: the run does, as is known by now.
        """
        from mlflow.entities import Metric, Param, RunTag

        metrics = [entry for entry in entries if isinstance(entry, Metric)]
        params = [entry for entry in entries if isinstance(entry, Param)]
        tags = [entry for entry in entries if isinstance(entry, RunTag)]
        try:
            self.client.log_batch(run, metrics, params, tags)
        except Exception as error:
            # A deleted run refuses everything with the code of a malformed entry.
            if not permanent(error) or not (exists or self.exists(run)):
                raise
            if len(entries) > 1:
                half = len(entries) // 2
                self._log_acceptable(run, entries[:half], exists=True)
                self._log_acceptable(run, entries[half:], exists=True)
                return
            what = f"{type(entries[0]).__name__.lower()} {entries[0].key!r}"
            refused = self._refused.setdefault(run, Counter())
            refused[what] += 1
            if refused[what] == 1:
                LOG.warning("MLflow refuses %s of run %s: %s", what, run, said(error))

    def set_status(self, run: str, status: RunStatus, *, at: float | None = None) -> None:
        """Set a run's status, and its end where it has ended."""
        if status == "RUNNING":
            self.client.update_run(run, status=status)
        else:
            end = None if at is None else int(at * 1000)
            self.client.set_terminated(run, status, end_time=end)
            for what, times in self._refused.pop(run, {}).items():
                if times > 1:
                    LOG.warning("MLflow refused %s of run %s %d times", what, run, times)

    def log_document(self, run: str, name: str, document: Mapping[str, Any]) -> None:
        """Keep a JSON document with a run; the same name again replaces it."""
        self.client.log_dict(run, dict(document), name)

    def log_file(self, run: str, file: Path, folder: str | None = None) -> None:
        """Keep a file with a run, by its name; the same name again replaces it.

        Args:
            folder: of the run, where it is to lie; None for the uppermost.
        """
        self.client.log_artifact(run, str(file), folder)


def _parts(entries: Sequence[T], size: int) -> list[Sequence[T]]:
    return [entries[start : start + size] for start in range(0, len(entries), size)]


def _condition(tags: Mapping[str, str]) -> str:
    """MLflow's search expression for runs with these tags."""
    return " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())


def legal(key: str) -> str:
    """A name of a metric or parameter as MLflow allows it, 250 characters at most."""
    return _FORBIDDEN.sub("_", key)[:250]


def permanent(error: Exception) -> bool:
    """Whether MLflow would refuse the same call again; anything else is worth another try."""
    return getattr(error, "error_code", None) in _PERMANENT


def said(error: Exception) -> str:
    """An error's kind and the first line of what it says, for the log."""
    return f"{type(error).__name__}: {first_line(error)}"
