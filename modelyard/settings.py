"""Settings of this installation, from the environment, and where its files lie.

Every variable is ``MODELYARD_`` and the field's name in capitals.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """What may differ between installations. Times are in seconds."""

    model_config = SettingsConfigDict(env_prefix="MODELYARD_", frozen=True, extra="ignore")

    home: Path = Field(
        Path(".modelyard"), description="Folder that holds everything of an embedded installation."
    )
    lease_seconds: float = Field(10.0, gt=0, description="Age at which a server's lease is void.")
    owner_seconds: float = Field(
        3.0, gt=0, description="Silence after which the run that owns a sweep counts as gone."
    )
    hung_training_seconds: float = Field(
        120.0, gt=0, description="Longest silence of a trial that is training."
    )
    hung_loading_seconds: float = Field(
        900.0, gt=0, description="Longest silence of a trial that is loading or compiling."
    )
    grace_seconds: float = Field(
        3.0, gt=0, description="Between SIGTERM and SIGKILL for a trial that is to stop."
    )
    start_seconds: float = Field(
        90.0, gt=0, description="Longest a server may take until it answers."
    )
    experiment_limit_bytes: int = Field(
        1_000_000, gt=0, description="Largest experiment file that is read."
    )

    @property
    def paths(self) -> Paths:
        """The files under ``home``."""
        return Paths(self.home.expanduser().absolute())


class Paths:
    """Every path under the home folder, in one place.

    Args:
        home: absolute folder; need not exist.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.journal = home / "journal.db"
        self.optuna = home / "optuna.db"
        self.mlflow = home / "mlflow.db"
        self.artifacts = home / "artifacts"
        self.mlflow_artifacts = home / "mlflow-artifacts"
        self.prefect = home / "prefect"
        self.services = home / "services"
        self.logs = home / "logs"
        self.scratch = home / "scratch"
        self.models = home / "models"

    def service(self, name: str) -> Path:
        """The file that says under which pid and address a service runs."""
        return self.services / f"{name}.json"

    def log(self, name: str) -> Path:
        """Where a service's or launch's output goes."""
        return self.logs / f"{name}.log"
