"""The golden manifests, as a real API server sees them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.cluster import core, namespace
from tests.support.k8s_cases import GOLDEN

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def room() -> Iterator[str]:
    """A namespace for the dry runs."""
    with namespace() as name:
        yield name


def strictly(path: str, manifest: dict[str, Any]) -> tuple[int, str]:
    """Create a manifest as a dry run under strict validation: HTTP status and answer."""
    api = core().api_client
    request = api.param_serialize(
        "POST",
        path,
        query_params=[("dryRun", "All"), ("fieldValidation", "Strict")],
        header_params={"Accept": "application/json", "Content-Type": "application/json"},
        body=manifest,
        auth_settings=["BearerToken"],
    )
    answer = api.call_api(*request)
    return answer.status, answer.read().decode()


def golden(path: Path, room: str) -> dict[str, Any]:
    """A golden manifest, for this namespace."""
    manifest: dict[str, Any] = yaml.safe_load(path.read_text())
    manifest["metadata"]["namespace"] = room
    return manifest


@pytest.mark.parametrize("path", sorted(GOLDEN.iterdir()), ids=lambda path: path.stem)
def test_the_api_server_takes_every_field(path: Path, room: str) -> None:
    """Strict validation knows each field of a golden file and finds each value valid."""
    manifest = golden(path, room)
    kind = {
        "Job": "/apis/batch/v1/namespaces/{}/jobs",
        "Secret": "/api/v1/namespaces/{}/secrets",
        "Service": "/api/v1/namespaces/{}/services",
    }
    status, words = strictly(kind[manifest["kind"]].format(room), manifest)

    assert status == 201, words


def test_the_pod_of_a_golden_job_is_admitted(room: str) -> None:
    """What a Job's validation leaves to its pods is valid as well."""
    template = golden(GOLDEN / "trial-everything.yaml", room)["spec"]["template"]
    # These two exist in no fresh namespace.
    spec = {
        name: value
        for name, value in template["spec"].items()
        if name not in ("serviceAccountName", "priorityClassName")
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "pod", "labels": template["metadata"]["labels"]},
        "spec": spec,
    }
    status, words = strictly(f"/api/v1/namespaces/{room}/pods", pod)

    assert status == 201, words


def test_a_misplaced_field_would_be_refused(room: str) -> None:
    """The dry run does look: a field that isn't one is named."""
    manifest = golden(GOLDEN / "trial.yaml", room)
    manifest["spec"]["activeDeadline"] = 3
    status, words = strictly(f"/apis/batch/v1/namespaces/{room}/jobs", manifest)

    assert status == 400
    assert "spec.activeDeadline" in words
