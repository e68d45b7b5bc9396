"""A model server as a pod of its image."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from modelyard.k8s.forward import forward
from tests.support import pods
from tests.support.cluster import namespace, needed
from tests.support.installation import kubectl
from tests.support.packed import table_model

pytestmark = pytest.mark.cluster

NAME, VERSION, PORT = "churn", 3, 8080
READY_SECONDS = 180
ROW = {"age": 40, "spend": 12.5, "plan": "pro"}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A pod that serves a packed model from a volume, reached through its Service."""
    image = needed("MODELYARD_TEST_IMAGE_SERVE")
    model = table_model(tmp_path_factory.mktemp("churn")).model
    with namespace("modelyard-serve") as space:
        serve(space, image, model)
        kubectl("-n", space, "expose", "pod", NAME, f"--port={PORT}")
        ready = ("wait", f"pod/{NAME}", "--for=condition=Ready", f"--timeout={READY_SECONDS}s")
        kubectl("-n", space, *ready, seconds=READY_SECONDS + 30)
        with forward(space, NAME, PORT) as here:
            yield f"http://{here}"


def serve(space: str, image: str, model: Path) -> None:
    """A pod of the image that serves a packed model; its files come as a ConfigMap."""
    files = {
        file.relative_to(model).as_posix(): file for file in model.rglob("*") if file.is_file()
    }
    keys = {name: name.replace("/", "..") for name in files}
    sources = [f"--from-file={keys[name]}={file}" for name, file in files.items()]
    kubectl("-n", space, "create", "configmap", NAME, *sources)
    items = [{"key": key, "path": name} for name, key in keys.items()]
    spec = pods.confined(
        image,
        args=["--model", "/model", "--name", NAME, "--version", str(VERSION)],
        readinessProbe={"httpGet": {"path": "/readyz", "port": PORT}, "periodSeconds": 1},
        volumes={"/model": {"configMap": {"name": NAME, "items": items}}},
    )
    pods.start(space, NAME, spec, app=NAME)


def test_a_pod_answers_for_a_registered_version(address: str) -> None:
    """The serve image loads a version's folder and answers with predictions, with its number."""
    with httpx.Client(base_url=address, trust_env=False, timeout=30) as client:
        answer = client.post("/invocations", json={"dataframe_records": [ROW]})
        answer.raise_for_status()
        body = answer.json()

        assert (body["model"], body["version"]) == (NAME, VERSION)
        assert [one["prediction"] for one in body["predictions"]] == ["yes"]
        assert client.get("/metrics").status_code == 200


def test_a_bad_request_is_refused_with_a_reason(address: str) -> None:
    """What isn't a table is answered 4xx with a sentence, and the pod goes on."""
    with httpx.Client(base_url=address, trust_env=False, timeout=30) as client:
        answer = client.post("/invocations", content=json.dumps({"rows": 1}))

        assert 400 <= answer.status_code < 500
        assert answer.json()
        assert client.get("/readyz").status_code == 200
