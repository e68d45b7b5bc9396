"""An installation from the plain manifests: ready, closed to strangers, and safe to repeat."""

from __future__ import annotations

import base64
import json

import httpx
import pytest

from tests.support.cluster import namespace
from tests.support.installation import Installation, kubectl
from tests.support.pods import confined

pytestmark = pytest.mark.cluster

TEAM = "k8s/install/team"
WHO = {
    "server": "system:serviceaccount:modelyard:modelyard",
    "worker": "system:serviceaccount:modelyard:prefect-worker",
    "anybody": "system:serviceaccount:modelyard:default",
}


def get(address: str, path: str, key: str | None = None, **options: object) -> httpx.Response:
    """One request; the machine's own proxies have no business here."""
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    with httpx.Client(trust_env=False, timeout=30, headers=headers) as client:
        return client.get(address + path, **options)  # type: ignore[arg-type]


def may(who: str, verb: str, kind: str, space: str) -> bool:
    """Whether a service account of the installation may do something in a namespace."""
    asked = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": WHO[who],
            "groups": ["system:serviceaccounts", "system:authenticated"],
            "resourceAttributes": {
                "namespace": space,
                "verb": verb,
                "group": "batch" if kind == "jobs" else "",
                "resource": kind.partition("/")[0],
                "subresource": kind.partition("/")[2],
            },
        },
    }
    answer = kubectl("create", "-f", "-", "-o", "json", text=json.dumps(asked))
    return bool(json.loads(answer)["status"]["allowed"])


def test_every_server_is_ready(installation: Installation) -> None:
    """What the manifests install comes up by itself, in whatever order it starts."""
    names = {item["metadata"]["name"] for item in installation.items("deployment")}
    ready = {
        item["metadata"]["labels"]["app.kubernetes.io/name"]
        for item in installation.items("pods", "app.kubernetes.io/part-of=modelyard")
        for condition in item["status"]["conditions"]
        if (condition["type"], condition["status"]) == ("Ready", "True")
    }

    assert names == {"mlflow", "modelyard", "prefect", "prefect-worker"}
    assert ready >= {*names, "minio", "postgres"}


def test_our_server_answers_who_shows_the_key_and_nobody_else(installation: Installation) -> None:
    """With the key 200; without one, or with another, 401; its health is told to everybody."""
    assert get(installation.address, "/v1/sweeps", installation.api_key).status_code == 200
    assert get(installation.address, "/v1/sweeps").status_code == 401
    assert get(installation.address, "/v1/sweeps", "another").status_code == 401
    assert get(installation.address, "/readyz").status_code == 200


def test_prefect_answers_who_shows_the_key_and_serves_its_pages(
    installation: Installation,
) -> None:
    """Its API asks for the same key, as user and password; its pages are there."""
    path = "/api/deployments/name/pipeline/cluster"
    shown = base64.b64encode(installation.api_key.encode()).decode()
    headers = {"Authorization": f"Basic {shown}"}

    assert get(installation.prefect, path).status_code == 401
    assert get(installation.prefect, path, headers=headers).status_code == 200
    page = get(installation.prefect, "/", follow_redirects=True)
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")


def test_the_deployment_runs_in_the_flow_image(installation: Installation) -> None:
    """``pipeline/cluster`` is there, its flows run as Jobs of the image that is installed."""
    shown = base64.b64encode(installation.api_key.encode()).decode()
    headers = {"Authorization": f"Basic {shown}"}
    api = f"{installation.prefect}/api"
    deployment = get(api, "/deployments/name/pipeline/cluster", headers=headers).json()
    pool = get(api, "/work_pools/modelyard", headers=headers).json()
    [server] = installation.items("deployment", "app.kubernetes.io/name=modelyard")
    image = server["spec"]["template"]["spec"]["containers"][0]["image"]

    assert deployment["work_pool_name"] == "modelyard"
    assert deployment["job_variables"]["image"] == image
    assert pool["type"] == "kubernetes"
    job = pool["base_job_template"]["job_configuration"]["job_manifest"]
    assert job["spec"]["template"]["spec"]["automountServiceAccountToken"] is False


def test_mlflow_answers_and_keeps_its_artifacts_in_the_bucket(installation: Installation) -> None:
    """Its pages are there, and what it makes by default lies in the installation's bucket."""
    assert get(installation.tracking, "/health").status_code == 200
    assert get(installation.tracking, "/").status_code == 200
    found = get(installation.tracking, "/api/2.0/mlflow/experiments/get?experiment_id=0").json()
    assert found["experiment"]["artifact_location"] == "s3://modelyard/mlflow/0"


def test_each_database_has_its_tables(installation: Installation) -> None:
    """Journal, MLflow and Prefect each migrated a database of their own, in UTF-8."""
    names = "SELECT datname FROM pg_database WHERE pg_encoding_to_char(encoding) = 'UTF8'"
    tables = "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relname = '{}'"

    assert {"mlflow", "modelyard", "prefect"} <= set(installation.sql(names).split())
    assert installation.sql(tables.format("sweeps"), "modelyard") == "1"
    assert installation.sql(tables.format("registered_models"), "mlflow") == "1"
    assert installation.sql(tables.format("flow_run"), "prefect") == "1"


@pytest.mark.parametrize(
    ("who", "verb", "kind", "allowed"),
    [
        ("server", "create", "jobs", True),
        ("server", "get", "pods/log", True),
        ("server", "create", "secrets", True),
        ("server", "list", "secrets", False),
        ("server", "create", "pods", False),
        ("server", "create", "pods/exec", False),
        ("worker", "create", "jobs", True),
        ("worker", "get", "secrets", False),
        ("anybody", "list", "pods", False),
        ("anybody", "get", "secrets", False),
        ("anybody", "create", "jobs", False),
    ],
)
def test_nobody_may_more_than_is_needed(
    installation: Installation, who: str, verb: str, kind: str, allowed: bool
) -> None:
    """Our server starts Jobs and keeps its sweeps' Secrets; the worker starts flows; no more."""
    assert may(who, verb, kind, installation.namespace) is allowed


def test_a_team_gives_our_server_its_namespace(installation: Installation) -> None:
    """Our server has no rights elsewhere until the team's Role is applied there, then the same."""
    del installation
    with namespace("modelyard-team") as team:
        before = may("server", "create", "jobs", team)
        kubectl("-n", team, "apply", "-k", TEAM)

        assert (before, may("server", "create", "jobs", team)) == (False, True)
        assert not may("worker", "create", "jobs", team)
        assert not may("server", "list", "secrets", team)


def test_every_pod_meets_the_restricted_standard(installation: Installation) -> None:
    """A namespace that enforces Kubernetes' strictest standard takes each pod of ours."""
    templates = [
        item["spec"]["template"]["spec"]
        for kind in ("deployment", "statefulset")
        for item in installation.items(kind)
    ]
    with namespace("modelyard-strict") as strict:
        kubectl("label", "namespace", strict, "pod-security.kubernetes.io/enforce=restricted")
        kubectl("-n", strict, "create", "serviceaccount", "modelyard")
        kubectl("-n", strict, "create", "serviceaccount", "prefect-worker")
        for number, spec in enumerate([*templates, confined("any")]):
            pod = {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": f"pod-{number}"},
                "spec": spec,
            }
            made = kubectl(
                *("-n", strict, "create", "-f", "-", "--dry-run=server", "-o", "name"),
                text=json.dumps(pod),
            )
            assert made.strip() == f"pod/pod-{number}"


def test_installing_again_changes_nothing(installation: Installation) -> None:
    """The same manifests, applied again, restart no server."""
    before = {item["metadata"]["uid"] for item in installation.items("replicaset")}

    kubectl("apply", "-k", str(installation.overlay))

    installation.wait_ready()
    assert {item["metadata"]["uid"] for item in installation.items("replicaset")} == before
