"""MLflow as Modelyard uses it: one experiment a project, a run a sweep, a child run a trial."""

from __future__ import annotations


class Tracking:
    """The tracking store. Opening it migrates it: only the server opens a fresh one.

    Args:
        tracking_uri: ``sqlite:///…/mlflow.db`` or an MLflow server's address.
        artifact_root: URI or folder under which experiments keep their artifacts.

    The constructor is cheap; the first call imports MLflow (4 s) and creates a fresh store (5 s):
    call ``open()`` from a thread at start.
    """

    def __init__(self, tracking_uri: str, artifact_root: str) -> None:
        self.tracking_uri = tracking_uri
        self.artifact_root = artifact_root

    def open(self) -> None:
        """Import MLflow and migrate the store; harmless when repeated."""
        raise NotImplementedError
