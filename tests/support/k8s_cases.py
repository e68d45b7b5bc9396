"""Launch requests that between them use every part of a manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from modelyard.contract import LaunchKey, Stage, TrialSpec
from modelyard.executor import LaunchRequest, Placement, Resources, SecretKey
from modelyard.k8s.client import models
from modelyard.k8s.manifests import job_of, secret_of, service_of
from modelyard.k8s.settings import KubernetesSettings

GOLDEN = Path(__file__).parents[1] / "golden" / "k8s"

BARE = KubernetesSettings(namespace="team-a", image="localhost/modelyard-trial:1")

FULL = KubernetesSettings(
    namespace="modelyard",
    namespaces={"vision": "team-vision"},
    image="localhost/modelyard-trial:1",
    image_pull_secrets=("pull-everything",),
    node_selector={"pool": "gpu"},
    tolerations=({"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},),
    priority_class="normal",
    queue="everybody",
    env={"HF_HOME": "/data/hf", "LEVEL": "installation"},
    volumes=(
        {"name": "ca", "mount_path": "/etc/ca", "read_only": True, "configMap": {"name": "ca"}},
    ),
    labels={"cost-center": "ml"},
    annotations={"example.org/run": "{sweep}/{trial}"},
    cache_volume={"hostPath": {"path": "/var/cache/modelyard", "type": "Directory"}},
    data_secret="bucket-reader",
)

ROOMY, ANYWHERE = Resources(memory_bytes=2 * 1024**3), Placement()


def request(
    stage: Stage = Stage.TRIAL,
    *,
    task: str = "7",
    resources: Resources = ROOMY,
    placement: Placement = ANYWHERE,
    grace_seconds: float = 3.0,
    **spec: Any,
) -> LaunchRequest:
    """A launch of the sweep ``abcd2345``."""
    return LaunchRequest(
        spec=TrialSpec(
            key=LaunchKey(sweep="abcd2345", task=task, number=2),
            stage=stage,
            document="d" * 64,
            **spec,
        ),
        resources=resources,
        placement=placement,
        environment={"MODELYARD_SERVER": "http://modelyard.modelyard.svc:4300"},
        grace_seconds=grace_seconds,
    )


def manifests() -> dict[str, models.V1Job | models.V1Secret | models.V1Service]:
    """Every manifest that is compared, by the name of its file."""
    placement = Placement(
        project="vision",
        node_selector={"zone": "b"},
        tolerations=(
            {"key": "spot", "value": "yes", "effect": "NoExecute", "tolerationSeconds": 30},
        ),
        queue="team",
        priority_class="high",
        service_account="trainer",
        image="localhost/own:3",
        image_pull_secrets=("pull-own", "pull-everything"),
        env={
            "LEVEL": "file",
            "PRICE": "$(HOME) and $5",
            "API": SecretKey(name="keys", key="api"),
            "OMP_NUM_THREADS": "64",
        },
        volumes=(
            {"mount_path": "/data", "persistentVolumeClaim": {"claimName": "data"}},
            {"mount_path": "/mnt/nfs", "nfs": {"server": "nfs", "path": "/"}, "read_only": True},
        ),
        labels={"sweep": "{sweep}", "app.kubernetes.io/managed-by": "somebody-else"},
        annotations={"example.org/launch": "{trial}-{launch}", "example.org/json": '{"a": {}}'},
        avoid=("node-1", "node-2"),
        deadline_seconds=3600.2,
    )
    large = Resources(cpus=2.5, threads=2, memory_bytes=8 * 1024**3, gpus=2)
    return {
        "trial": job_of(request(parameters={"learning_rate": 0.01}, epochs=3), BARE),
        "trial-everything": job_of(
            request(resources=large, placement=placement, grace_seconds=45.5), FULL
        ),
        "prepare": job_of(
            request(Stage.PREPARE, task="prepare", resources=Resources(cpus=1)), FULL
        ),
        "trial-nodes": job_of(
            request(resources=Resources(memory_bytes=2 * 1024**3, gpus=2, nodes=2)), BARE
        ),
        "service": service_of("abcd2345", "team-a"),
        "secret": secret_of("abcd2345", "team-a", "only-for-tests"),
    }


def as_yaml(manifest: models.V1Job | models.V1Secret | models.V1Service) -> str:
    """A manifest as it is sent, to be read by people."""
    return yaml.safe_dump(manifest.model_dump(by_alias=True, exclude_none=True), sort_keys=False)
