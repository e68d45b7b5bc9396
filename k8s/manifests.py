"""The Job of a launch, and the Secret of a sweep. Pure: request and settings in, manifest out.

Manifests are the Kubernetes client's own typed models: mypy refuses an unknown argument, and the
models refuse one in what a user wrote (a volume, a toleration), before anything is sent.
One launch is one pod, or one a node: Kubernetes never starts another in its place, because only
our plan knows whether and how the next launch goes on.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from modelyard.contract import Stage, Variable
from modelyard.executor import THREAD_VARIABLES, LaunchRequest, Resources, SecretKey
from modelyard.k8s.client import models
from modelyard.k8s.labels import (
    SPEC_LABEL,
    SWEEP_LABEL,
    common_labels,
    filled,
    labels_of,
    shared_name,
    spec_label,
)
from modelyard.k8s.settings import KubernetesSettings

COMMAND = ("python", "-P", "-m", "modelyard.trial")
"""The very argv of a launch on one machine."""

CONTAINER = "trial"
GPU = "nvidia.com/gpu"
USER = 10001
TOKEN_KEY = "token"

MASTER_PORT = 29500
"""torchrun's own default."""

HOME = "/home/modelyard"
CACHE = "/var/cache/modelyard"
TERMINATION = "/dev/termination-log"
FOLDERS = {
    "HOME": HOME,
    "TORCHINDUCTOR_CACHE_DIR": f"{HOME}/.cache/torchinductor",
    "TRITON_CACHE_DIR": f"{HOME}/.cache/triton",
    "CUDA_CACHE_PATH": f"{HOME}/.cache/cuda",
    Variable.SCRATCH.value: "/tmp/launch",
    Variable.TERMINATION.value: TERMINATION,
}
"""Where a program may write: everything else is read-only."""


def job_of(request: LaunchRequest, settings: KubernetesSettings) -> models.V1Job:
    """The Job of one launch.

    Args:
        request: what runs, how much it needs, where.
        settings: what every trial pod of this installation gets.

    Raises:
        ValueError: the spec is too long, or a volume or toleration is none that Kubernetes knows.
    """
    key, placement = request.spec.key, request.placement
    labels = {
        **filled({**settings.labels, **placement.labels}, key),
        **labels_of(key),
        "app.kubernetes.io/component": request.spec.stage.value,
        SPEC_LABEL: spec_label(request.spec.digest),
    }
    annotations = filled({**settings.annotations, **placement.annotations}, key)
    queue = placement.queue or settings.queue
    return models.V1Job(
        api_version="batch/v1",
        kind="Job",
        metadata=models.V1ObjectMeta(
            name=str(key),
            namespace=settings.namespace_of(placement.project),
            labels={**labels, **({"kueue.x-k8s.io/queue-name": queue} if queue else {})},
            annotations=annotations or None,
        ),
        spec=models.V1JobSpec(
            backoff_limit=0,
            **_several(request.resources.nodes),
            ttl_seconds_after_finished=settings.ttl_seconds,
            template=models.V1PodTemplateSpec(
                metadata=models.V1ObjectMeta(labels=labels, annotations=annotations or None),
                spec=_pod(request, settings),
            ),
        ),
    )


def secret_of(sweep: str, namespace: str, token: str) -> models.V1Secret:
    """The Secret by which the pods of a sweep get its token."""
    return models.V1Secret(
        api_version="v1",
        kind="Secret",
        metadata=models.V1ObjectMeta(
            name=shared_name(sweep),
            namespace=namespace,
            labels={**common_labels(sweep), SWEEP_LABEL: sweep},
        ),
        string_data={TOKEN_KEY: token},
    )


def service_of(sweep: str, namespace: str) -> models.V1Service:
    """The headless Service by which the nodes of a sweep's launches have names."""
    return models.V1Service(
        api_version="v1",
        kind="Service",
        metadata=models.V1ObjectMeta(
            name=shared_name(sweep),
            namespace=namespace,
            labels={**common_labels(sweep), SWEEP_LABEL: sweep},
        ),
        spec=models.V1ServiceSpec(
            cluster_ip="None",
            # They look for each other before any of them could be called ready.
            publish_not_ready_addresses=True,
            selector={SWEEP_LABEL: sweep},
        ),
    )


def _pod(request: LaunchRequest, settings: KubernetesSettings) -> models.V1PodSpec:
    placement = request.placement
    volumes, mounts = _volumes(request, settings)
    secrets = dict.fromkeys((*settings.image_pull_secrets, *placement.image_pull_secrets))
    tolerations = (*settings.tolerations, *placement.tolerations)
    deadline = placement.deadline_seconds
    return models.V1PodSpec(
        # On the pod, not on the Job, whose own deadline counts waiting too.
        active_deadline_seconds=None if deadline is None else math.ceil(deadline),
        affinity=_elsewhere(placement.avoid),
        automount_service_account_token=False,
        containers=[_container(request, settings, mounts)],
        enable_service_links=False,
        image_pull_secrets=[models.V1LocalObjectReference(name=name) for name in secrets] or None,
        node_selector={**settings.node_selector, **placement.node_selector} or None,
        priority_class_name=placement.priority_class or settings.priority_class,
        restart_policy="Never",
        security_context=models.V1PodSecurityContext(
            fs_group=USER,
            # Else the kubelet walks a whole cache volume before each launch.
            fs_group_change_policy="OnRootMismatch",
            run_as_group=USER,
            run_as_non_root=True,
            run_as_user=USER,
            seccomp_profile=models.V1SeccompProfile(type="RuntimeDefault"),
        ),
        subdomain=None if request.resources.nodes == 1 else shared_name(request.spec.key.sweep),
        service_account_name=placement.service_account or settings.service_account,
        termination_grace_period_seconds=math.ceil(
            max(settings.grace_seconds, request.grace_seconds)
        ),
        tolerations=[models.V1Toleration.model_validate(dict(one)) for one in tolerations] or None,
        volumes=volumes,
    )


def _container(
    request: LaunchRequest, settings: KubernetesSettings, mounts: list[models.V1VolumeMount]
) -> models.V1Container:
    reads_source = request.spec.stage is Stage.PREPARE and settings.data_secret
    return models.V1Container(
        name=CONTAINER,
        image=request.placement.image or settings.image,
        image_pull_policy=settings.image_pull_policy,
        command=list(COMMAND),
        env=list(_env(request, settings)),
        env_from=[
            models.V1EnvFromSource(
                secret_ref=models.V1SecretEnvSource(name=settings.data_secret, optional=False)
            )
        ]
        if reads_source
        else None,
        resources=_needs(request.resources),
        security_context=models.V1SecurityContext(
            allow_privilege_escalation=False,
            capabilities=models.V1Capabilities(drop=["ALL"]),
            read_only_root_filesystem=True,
        ),
        termination_message_path=TERMINATION,
        termination_message_policy="FallbackToLogsOnError",
        volume_mounts=mounts,
    )


def _env(request: LaunchRequest, settings: KubernetesSettings) -> Iterator[models.V1EnvVar]:
    """Variables in a fixed order; ours win, because results depend on them."""
    plain: dict[str, str | SecretKey] = {
        **settings.env,
        **request.placement.env,
        **dict.fromkeys(THREAD_VARIABLES, str(request.resources.threads)),
        **FOLDERS,
        **({Variable.CACHE.value: CACHE} if settings.cache_volume is not None else {}),
        # A CUDA image on a GPU node would otherwise show every GPU to who asked for none.
        **({} if request.resources.gpus else {"NVIDIA_VISIBLE_DEVICES": "void"}),
        **_rendezvous(request),
        **request.environment,
        Variable.SPEC.value: request.spec.to_json(),
        Variable.TOKEN.value: SecretKey(name=shared_name(request.spec.key.sweep), key=TOKEN_KEY),
    }
    for name, value in sorted(plain.items()):
        if isinstance(value, str):
            # "$(NAME)" is a reference to Kubernetes; in our values and a user's it is text.
            yield models.V1EnvVar(name=name, value=value.replace("$(", "$$("))
        else:
            selector = models.V1SecretKeySelector(name=value.name, key=value.key)
            source = models.V1EnvVarSource(secret_key_ref=selector)
            yield models.V1EnvVar(name=name, value_from=source)


def _several(nodes: int) -> dict[str, Any]:
    """Several pods, each with a number and a name; the failure of any fails the Job."""
    if nodes == 1:
        return {}
    return {"completion_mode": "Indexed", "completions": nodes, "parallelism": nodes}


def _rendezvous(request: LaunchRequest) -> dict[str, str]:
    """Where the first node is, in torchrun's words; which node one is, the Job controller says."""
    if request.resources.nodes == 1:
        return {}
    key = request.spec.key
    return {"MASTER_ADDR": f"{key}-0.{shared_name(key.sweep)}", "MASTER_PORT": str(MASTER_PORT)}


def _needs(resources: Resources) -> models.V1ResourceRequirements:
    """Requests and limits.

    Memory's limit is its request, so that a launch ends by its own need and never by a
    neighbour's. CPU has no limit: its share is kept by the request, and a limit would only
    throttle loaders and compilers on an idle node; the threads are limited by number.
    """
    cores = math.ceil(resources.cpus * 1000)
    requests = {"cpu": str(cores // 1000) if cores % 1000 == 0 else f"{cores}m"}
    limits: dict[str, str] = {}
    if resources.memory_bytes is not None:
        requests["memory"] = limits["memory"] = str(resources.memory_bytes)
    if resources.gpus:
        requests[GPU] = limits[GPU] = str(resources.gpus)
    return models.V1ResourceRequirements(requests=requests, limits=limits or None)


def _volumes(
    request: LaunchRequest, settings: KubernetesSettings
) -> tuple[list[models.V1Volume], list[models.V1VolumeMount]]:
    memory = models.V1EmptyDirVolumeSource(medium="Memory", size_limit=settings.shared_memory)
    volumes = [
        models.V1Volume(name="tmp", empty_dir=models.V1EmptyDirVolumeSource()),
        models.V1Volume(name="home", empty_dir=models.V1EmptyDirVolumeSource()),
        models.V1Volume(name="shared-memory", empty_dir=memory),
    ]
    paths = ("/tmp", HOME, "/dev/shm")
    mounts = [
        models.V1VolumeMount(name=volume.name, mount_path=path)
        for volume, path in zip(volumes, paths, strict=True)
    ]
    further = [*settings.volumes, *request.placement.volumes]
    if settings.cache_volume is not None:
        further.append({**settings.cache_volume, "name": "cache", "mount_path": CACHE})
    for number, volume in enumerate(further):
        source, mount = _further(volume, f"volume-{number}")
        volumes.append(source)
        mounts.append(mount)
    return volumes, mounts


def _further(volume: Mapping[str, Any], name: str) -> tuple[models.V1Volume, models.V1VolumeMount]:
    """A volume of the user's: a Kubernetes volume, and beside its source where it is mounted."""
    source = {"name": name, **volume}
    path, read_only = source.pop("mount_path", None), source.pop("read_only", None)
    if not path:
        raise ValueError(f"volume {source['name']!r} names no mount_path: say where it is mounted")
    mount = models.V1VolumeMount(name=source["name"], mount_path=path, read_only=read_only)
    return models.V1Volume.model_validate(source), mount


def _elsewhere(avoid: tuple[str, ...]) -> models.V1Affinity | None:
    """Away from nodes that failed; preferred only, for there may be no other."""
    if not avoid:
        return None
    # A requirement on fields takes one value each; those of a term hold together.
    names = [
        models.V1NodeSelectorRequirement(key="metadata.name", operator="NotIn", values=[node])
        for node in avoid
    ]
    term = models.V1PreferredSchedulingTerm(
        weight=100, preference=models.V1NodeSelectorTerm(match_fields=names)
    )
    return models.V1Affinity(
        node_affinity=models.V1NodeAffinity(
            preferred_during_scheduling_ignored_during_execution=[term]
        )
    )
