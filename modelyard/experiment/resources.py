"""The section ``resources``: what one trial needs, and where in a cluster it may run."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag

from modelyard.experiment.section import Section

_UNITS = {
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
    "k": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
}


class EnvSecret(Section):
    """A variable whose value is a key of a Kubernetes Secret; the file holds the names alone."""

    secret: str = Field(min_length=1, description="Name of the Secret, in the trials' namespace.")
    key: str = Field(min_length=1, description="Its key that holds the value.")


def _kind_of_value(value: object) -> str:
    return "reference" if isinstance(value, dict | EnvSecret) else "text"


EnvValue = Annotated[
    Annotated[str, Tag("text")] | Annotated[EnvSecret, Tag("reference")],
    Discriminator(_kind_of_value),
]
"""Told apart before it is looked into, so that a mistake is told of the kind that was meant."""


class Resources(Section):
    """What one trial needs."""

    gpus: int = Field(
        1,
        ge=0,
        description="GPUs of each node; requested on a cluster, used here where "
        "present. Several take parts of each batch.",
    )
    nodes: int = Field(
        1,
        ge=1,
        description="Nodes of one trial, which take parts of each batch; "
        "processes here, where there is no cluster.",
    )
    cpus: float = Field(1, gt=0, description="CPU cores.")
    threads: int = Field(1, ge=1, description="CPU threads of a trial.")
    memory: str = Field(
        "2Gi",
        pattern=r"^[1-9][0-9]*(\.[0-9]+)?(Ki|Mi|Gi|Ti|k|M|G|T)?$",
        description="Memory limit of a trial as Kubernetes writes it: 512Mi, 2Gi.",
    )
    node_selector: dict[str, str] = Field({}, description="Labels that a node must have.")
    tolerations: tuple[dict[str, Any], ...] = Field(
        (), strict=False, description="Taints that are borne."
    )
    queue: str | None = Field(None, description="Kueue's LocalQueue.")
    priority_class: str | None = Field(None, description="Kubernetes priority class.")
    service_account: str | None = Field(None, description="Service account of the trial's pod.")
    image: str | None = Field(None, description="Image of the trial.")
    image_pull_secrets: tuple[str, ...] = Field(
        (), strict=False, description="Secrets for pulling the image."
    )
    env: dict[str, EnvValue] = Field(
        {}, description="Further environment of the trial: text, or {secret: NAME, key: KEY}."
    )
    volumes: tuple[dict[str, Any], ...] = Field(
        (),
        strict=False,
        description="Volumes to mount: mount_path, if wanted name and read_only, and one kind as "
        "Kubernetes writes it: {mount_path: /data, persistentVolumeClaim: {claimName: data}}.",
    )
    labels: dict[str, str] = Field(
        {}, description="Labels of Job and pod; may hold {sweep}, {trial}, {launch}."
    )
    annotations: dict[str, str] = Field(
        {}, description="Annotations of Job and pod; may hold {sweep}, {trial}, {launch}."
    )

    @property
    def memory_bytes(self) -> int:
        """``memory`` in bytes: ``512Mi``, ``1.5G``, ``1073741824``."""
        for unit, size in _UNITS.items():
            if self.memory.endswith(unit):
                return int(float(self.memory.removesuffix(unit)) * size)
        return int(float(self.memory))
