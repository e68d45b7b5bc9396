"""Settings of an installation whose launches are Jobs, from the environment.

Every variable is ``MODELYARD_KUBERNETES_`` and the field's name in capitals; what is not a word
or a number is JSON. Which cluster: the pod's own service account, or ``KUBECONFIG``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class KubernetesSettings(BaseSettings):
    """What every trial pod gets, whatever the experiment file says. Times are in seconds.

    The file's ``resources`` add to lists and win, name by name, over maps.
    """

    model_config = SettingsConfigDict(
        env_prefix="MODELYARD_KUBERNETES_", frozen=True, extra="ignore"
    )

    context: str | None = Field(
        None, description="Context of the kubeconfig; its current one when unset."
    )
    namespace: str = Field("modelyard", description="Where launches run, unless a project differs.")
    namespaces: Mapping[str, str] = Field(
        {}, description="Namespaces of projects that have their own, by project."
    )
    image: str = Field("modelyard-trial", description="The trial image.")
    image_pull_policy: str = Field("IfNotPresent", description="As Kubernetes has it.")
    image_pull_secrets: tuple[str, ...] = Field((), description="Names of Secrets.")
    parallel: int = Field(8, ge=1, description="Launches at once for `budget.parallel: auto`.")
    service_account: str | None = Field(
        None, description="Service account of the pods; they never get a token of it."
    )
    node_selector: Mapping[str, str] = Field({}, description="Labels that a node must have.")
    tolerations: tuple[Mapping[str, Any], ...] = Field((), description="Taints that are borne.")
    priority_class: str | None = Field(None, description="Name of a PriorityClass.")
    queue: str | None = Field(None, description="Name of Kueue's LocalQueue.")
    env: Mapping[str, str] = Field({}, description="Further variables of every trial.")
    volumes: tuple[Mapping[str, Any], ...] = Field(
        (),
        description="Kubernetes volumes, each with a key `mount_path` and perhaps `read_only`.",
    )
    labels: Mapping[str, str] = Field(
        {}, description="Of Jobs and pods; may hold {sweep}, {trial} and {launch}."
    )
    annotations: Mapping[str, str] = Field({}, description="The same.")
    cache_volume: Mapping[str, Any] | None = Field(
        None,
        description="Kubernetes volume source that the launches of a node share for what they "
        "fetch; must be writable by group 10001. Unset, each pod fetches for itself.",
    )
    data_secret: str | None = Field(
        None, description="Secret whose keys are the environment of prepare launches."
    )
    shared_memory: str = Field("1Gi", description="Size of /dev/shm, for loaders.")
    grace_seconds: float = Field(
        30.0, ge=1, description="Between SIGTERM and SIGKILL when somebody else ends a pod."
    )
    ttl_seconds: int = Field(
        3 * 24 * 3600, ge=0, description="Age at which a finished Job that nobody cleaned goes."
    )

    def namespace_of(self, project: str) -> str:
        """The namespace in which a project's launches run."""
        return self.namespaces.get(project, self.namespace)

    @property
    def all_namespaces(self) -> tuple[str, ...]:
        """Every namespace in which launches may run, sorted."""
        return tuple(sorted({self.namespace, *self.namespaces.values()}))
