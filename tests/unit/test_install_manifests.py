"""The files that install Modelyard on a cluster, read without one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes.aio.client import models

from modelyard.cli.deployments import deployment_names
from modelyard.k8s.manifests import USER
from modelyard.k8s.settings import KubernetesSettings
from modelyard.settings import Settings

INSTALL = Path(__file__).parents[2] / "k8s" / "install"
FLOWS = INSTALL / "base" / "flows"
SECRETS = {"modelyard-api-key", "modelyard-postgres", "modelyard-s3"}
KINDS: dict[str, Any] = {
    "ConfigMap": models.V1ConfigMap,
    "Deployment": models.V1Deployment,
    "Job": models.V1Job,
    "Namespace": models.V1Namespace,
    "NetworkPolicy": models.V1NetworkPolicy,
    "Role": models.V1Role,
    "RoleBinding": models.V1RoleBinding,
    "Service": models.V1Service,
    "ServiceAccount": models.V1ServiceAccount,
    "StatefulSet": models.V1StatefulSet,
}


def documents() -> Iterator[dict[str, Any]]:
    """Every object of the manifests."""
    for path in sorted(INSTALL.rglob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            if "kind" in document and document["kind"] != "Kustomization":
                yield document


def flow_job() -> dict[str, Any]:
    """The Job of a flow run, its variables at their defaults."""
    template = json.loads((FLOWS / "base-job-template.json").read_text())
    values = {
        name: keys.get("default", {"string": name}.get(keys.get("type")))
        for name, keys in template["variables"]["properties"].items()
    }
    values["command"] = ["command"]  # the worker splits it

    def filled(part: Any) -> Any:
        match part:
            case dict():
                return {key: filled(value) for key, value in part.items()}
            case list():
                return [filled(value) for value in part]
            case str() if found := re.fullmatch(r"\{\{ (\w+) \}\}", part):
                return values[found[1]]
            case str():
                return re.sub(r"\{\{ (\w+) \}\}", lambda found: str(values[found[1]]), part)
            case _:
                return part

    return dict(filled(template["job_configuration"]["job_manifest"]))


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    """Each pod that would run, by the name of what makes it."""
    for document in documents():
        if "template" in document.get("spec", {}):
            yield document["metadata"]["name"], document["spec"]["template"]["spec"]
    yield "flow", flow_job()["spec"]["template"]["spec"]


def containers() -> Iterator[tuple[str, dict[str, Any]]]:
    """Each container, the first ones too."""
    for name, pod in pods():
        for container in (*pod.get("initContainers", ()), *pod["containers"]):
            yield f"{name}/{container['name']}", container


@pytest.mark.parametrize("document", [*documents(), flow_job()], ids=lambda one: str(one["kind"]))
def test_every_field_is_one_that_kubernetes_knows(document: dict[str, Any]) -> None:
    """A misplaced or misspelt field would be dropped in silence by some clusters."""
    assert KINDS[document["kind"]].model_validate(document) is not None


@pytest.mark.parametrize("path", sorted(INSTALL.rglob("kustomization.yaml")), ids=str)
def test_a_kustomization_names_files_that_are_there(path: Path) -> None:
    """What is listed exists, and what exists beside it is listed."""
    kustomization = yaml.safe_load(path.read_text())
    named = [*kustomization["resources"], *kustomization.get("configurations", ())]
    generated = [
        file for one in kustomization.get("configMapGenerator", ()) for file in one.get("files", ())
    ]

    missing = [name for name in (*named, *generated) if not (path.parent / name).exists()]
    unnamed = {file.name for file in path.parent.glob("*.yaml")} - {*named, path.name}

    assert missing == []
    assert unnamed == set()


@pytest.mark.parametrize(
    ("name", "pod"), list(pods()), ids=lambda one: one if isinstance(one, str) else ""
)
def test_no_pod_runs_as_root(name: str, pod: dict[str, Any]) -> None:
    """Each pod says as whom it runs, and only the two that speak to the cluster get a token."""
    context = pod["securityContext"]

    assert context["runAsNonRoot"] is True
    assert context["runAsUser"] == (999 if name == "postgres" else USER)
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is (name in {"modelyard", "prefect-worker"})


@pytest.mark.parametrize(
    ("name", "container"), list(containers()), ids=lambda one: one if isinstance(one, str) else ""
)
def test_a_container_may_and_takes_no_more_than_it_needs(
    name: str, container: dict[str, Any]
) -> None:
    """Root files are read-only, every capability is dropped, memory has a limit."""
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }, name
    assert set(container["resources"]) == {"requests", "limits"}
    assert {"cpu", "memory"} == set(container["resources"]["requests"])
    assert "memory" in container["resources"]["limits"]
    assert container["imagePullPolicy"] == "IfNotPresent"


def test_images_are_named_without_a_registry() -> None:
    """Whoever installs says where the images come from."""
    images = {container["image"] for _, container in containers()}

    assert images == {"modelyard-flow", "postgres:17", "minio", "image"}


def test_secrets_are_referred_to_and_never_held() -> None:
    """Exactly the three Secrets that the documentation makes are asked for; none is in a file."""
    text = json.dumps([*documents(), flow_job()])
    wanted = set(re.findall(r'"secret(?:Key)?Ref": \{[^}]*?"name": "([\w-]+)"', text))

    assert not any(document["kind"] == "Secret" for document in documents())
    assert wanted == SECRETS
    cluster = (INSTALL.parents[1] / "docs" / "cluster.md").read_text()
    assert [name for name in SECRETS if f"secret generic {name}" not in cluster] == []


def test_variables_are_settings_that_exist() -> None:
    """A misspelt setting would be ignored in silence."""
    known = {f"MODELYARD_{name.upper()}" for name in Settings.model_fields}
    known |= {f"MODELYARD_KUBERNETES_{name.upper()}" for name in KubernetesSettings.model_fields}
    text = "".join(path.read_text() for path in INSTALL.rglob("*") if path.is_file())

    assert set(re.findall(r"MODELYARD_[A-Z_]+", text)) <= known


def test_roles_say_exactly_what_they_allow() -> None:
    """No Role allows everything of a kind, and no Secret can be listed."""
    rules = [rule for one in documents() if one["kind"] == "Role" for rule in one["rules"]]

    assert rules
    assert not any("*" in (*rule["verbs"], *rule["resources"]) for rule in rules)
    secrets = [set(rule["verbs"]) for rule in rules if "secrets" in rule["resources"]]
    assert secrets == [{"create", "get", "delete"}]


def test_the_deployment_is_the_one_that_our_server_starts() -> None:
    """``pipeline/cluster`` is sound, and asks for the flow image that the installation names."""
    path = FLOWS / "prefect.yaml"
    [deployment] = yaml.safe_load(path.read_text())["deployments"]

    assert deployment_names(path) == (Settings().deployment.removeprefix("pipeline/"),)
    assert deployment["work_pool"]["job_variables"] == {"image": "{{ $FLOW_IMAGE }}"}


def test_a_lost_flow_pod_is_started_again() -> None:
    """Kubernetes starts a flow's pod again three times; the flow passes through what is done."""
    job = flow_job()

    assert job["spec"]["backoffLimit"] == 3
    assert job["spec"]["template"]["spec"]["restartPolicy"] == "Never"
