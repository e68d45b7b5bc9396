"""The golden manifests, as a real API server sees them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from kubernetes import client

from tests.support.cluster import core, namespace
from tests.support.k8s_cases import GOLDEN

pytestmark = pytest.mark.cluster

STRICTLY = {"dry_run": "All", "field_validation": "Strict"}


@pytest.fixture(scope="module")
def room() -> Iterator[str]:
    """A namespace for the dry runs."""
    with namespace() as name:
        yield name


@pytest.mark.parametrize("path", sorted(GOLDEN.iterdir()), ids=lambda path: path.stem)
def test_the_api_server_takes_every_field(path: Path, room: str) -> None:
    """Strict validation knows each field of a golden file and finds each value valid."""
    manifest = yaml.safe_load(path.read_text())
    manifest["metadata"]["namespace"] = room
    if manifest["kind"] == "Job":
        pods = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "pod", **manifest["spec"]["template"]["metadata"]},
            "spec": manifest["spec"]["template"]["spec"] | {"serviceAccountName": "default"},
        }
        pods["spec"].pop("priorityClassName", None)
        api = client.BatchV1Api(core().api_client)
        answer = api.create_namespaced_job(room, manifest, **STRICTLY)
        pod = core().create_namespaced_pod(room, pods, **STRICTLY)
        assert pod.spec.restart_policy == "Never"
    else:
        answer = core().create_namespaced_secret(room, manifest, **STRICTLY)

    assert answer.metadata.name == manifest["metadata"]["name"]


def test_a_misplaced_field_would_be_refused(room: str) -> None:
    """The dry run does look: a field that isn't one is named."""
    manifest = yaml.safe_load((GOLDEN / "trial.yaml").read_text())
    manifest["metadata"]["namespace"] = room
    manifest["spec"]["activeDeadline"] = 3

    with pytest.raises(client.ApiException, match="activeDeadline"):
        client.BatchV1Api(core().api_client).create_namespaced_job(room, manifest, **STRICTLY)
