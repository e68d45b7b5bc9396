"""Settings of this installation, from the environment, and where its files lie.

Every variable is ``MODELYARD_`` and the field's name in capitals.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from modelyard.errors import InputError


class Settings(BaseSettings):
    """What may differ between installations. Times are in seconds.

    A variable that is set to nothing counts as unset.

    Raises:
        InputError: variables whose values can't be used, all of them.
    """

    model_config = SettingsConfigDict(
        env_prefix="MODELYARD_", env_ignore_empty=True, frozen=True, extra="ignore"
    )

    home: Path = Field(
        Path(".modelyard"), description="Folder that holds everything of an embedded installation."
    )
    server: str | None = Field(
        None,
        description="Address of a cluster's Modelyard server; set, `run` goes there by default.",
    )
    api_key: SecretStr | None = Field(
        None, description="Key that CLI and flows show; a server that has one refuses others."
    )
    host: str = Field("127.0.0.1", description="Address on which the server listens.")
    hosts: tuple[str, ...] = Field(
        (), description="Further names by which the server is called (a JSON list)."
    )
    address: str | None = Field(
        None, description="Address at which trials reach the server; where it listens when unset."
    )
    executor: Literal["local", "kubernetes"] = Field(
        "local", description="Where launches run: processes of this machine, or Jobs."
    )
    database: SecretStr | None = Field(
        None,
        description="postgresql+psycopg2://… of journal and study; SQLite in the home when unset.",
    )
    store: str | None = Field(
        None, description="s3://bucket/prefix of the artifacts; a folder in the home when unset."
    )
    tracking: str | None = Field(
        None, description="Address of an MLflow server; SQLite in the home when unset."
    )
    deployment: str = Field(
        "pipeline/cluster", description="Prefect deployment whose flow runs lead a cluster's runs."
    )
    datasets: Path | None = Field(
        None,
        description="Folder of published datasets, one folder each; `datasets` in the home when "
        "unset.",
    )
    lease_seconds: float = Field(10.0, gt=0, description="Age at which a server's lease is void.")
    owner_seconds: float = Field(
        3.0,
        gt=0,
        description="Silence after which a run that owns a sweep counts as gone if its process is.",
    )
    hung_training_seconds: float = Field(
        120.0, gt=0, description="Longest silence of a trial that is training."
    )
    hung_loading_seconds: float = Field(
        900.0, gt=0, description="Longest silence of a trial that is loading or compiling."
    )
    image_pull_seconds: float = Field(
        60.0,
        gt=0,
        description="How long an image may fail to be pulled, or a Secret be missing.",
    )
    grace_seconds: float = Field(
        3.0, gt=0, description="Between SIGTERM and SIGKILL for a trial that is to stop."
    )
    start_seconds: float = Field(
        300.0, gt=0, description="Longest a server may take until it answers."
    )
    experiment_limit_bytes: int = Field(
        1_000_000, gt=0, description="Largest experiment file that is read."
    )
    upload_limit_bytes: int = Field(
        1_000_000_000, gt=0, description="Largest table or packed code that is uploaded."
    )

    code_limit_bytes: int = Field(
        10_000_000, gt=0, description="Most bytes of own code that travel to the trials."
    )

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise InputError("\n".join(map(_in_words, error.errors()))) from None
        except SettingsError as error:
            field = str(error).split('"')[1].upper()
            raise InputError(
                f"the environment variable MODELYARD_{field} is no JSON; write a list in brackets, "
                "each item in double quotes"
            ) from None

    @field_validator("server")
    @classmethod
    def _address(cls, server: str | None) -> str | None:
        if server is not None and not server.lower().startswith(("http://", "https://")):
            raise ValueError("begin with http:// or https://")
        return server

    def embedded(self) -> Settings:
        """The same without the cluster: the home's own server asks nobody for a key."""
        return self.model_copy(update={"server": None, "api_key": None})

    @property
    def paths(self) -> Paths:
        """The files under ``home``."""
        return Paths(self.home.expanduser().absolute())

    @property
    def datasets_folder(self) -> Path:
        """Where published datasets lie, a folder for each by its name."""
        return (self.datasets or self.paths.datasets).expanduser().absolute()

    @property
    def journal_url(self) -> str:
        """SQLAlchemy URL of the journal; may hold a password."""
        return self._database or f"sqlite:///{self.paths.journal}"

    @property
    def study_url(self) -> str:
        """SQLAlchemy URL of Optuna's storage; may hold a password."""
        return self._database or f"sqlite:///{self.paths.optuna}"

    @property
    def store_base(self) -> str:
        """Base URI of the artifacts."""
        return (self.store or self.paths.artifacts.as_uri()).rstrip("/")

    @property
    def tracking_uri(self) -> str:
        """Where MLflow keeps runs and versions."""
        return self.tracking or f"sqlite:///{self.paths.mlflow}"

    @property
    def tracking_artifacts(self) -> str:
        """URI or folder below which MLflow's experiments keep their artifacts."""
        base = self.store_base
        return f"{base}/mlflow" if self.store else str(self.paths.mlflow_artifacts)

    @property
    def _database(self) -> str | None:
        return None if self.database is None else self.database.get_secret_value()


def _in_words(error: ErrorDetails) -> str:
    """One variable's mistake, with its value."""
    name = f"MODELYARD_{str(error['loc'][0]).upper()}"
    words = error["msg"].removeprefix("Value error, ").removeprefix("Input should ")
    wanted = words.partition(", unable")[0]
    holds = "is" if len(error["loc"]) == 1 else "holds"
    return f"the environment variable {name} {holds} {error['input']!r}; it has to {wanted}"


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
        self.datasets = home / "datasets"
        self.cache = home / "cache"
        self.uploads = home / "uploads"
        self.models = home / "models"

    def service(self, name: str) -> Path:
        """The file that says under which pid and address a service runs."""
        return self.services / f"{name}.json"

    def log(self, name: str) -> Path:
        """Where a service's or launch's output goes."""
        return self.logs / f"{name}.log"
