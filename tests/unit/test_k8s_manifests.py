"""What a Job is made of, where a golden file doesn't say why."""

from __future__ import annotations

import pytest

from modelyard.contract import LaunchKey, Stage
from modelyard.executor import Placement
from modelyard.k8s.forward import choose
from modelyard.k8s.labels import key_of, labels_of
from modelyard.k8s.manifests import job_of
from tests.support.k8s_cases import BARE, FULL, manifests, request


def test_labels_lead_back_to_the_launch() -> None:
    """A launch is found again by its labels; other labels name none."""
    key = LaunchKey(sweep="abcd2345", task="prepare", number=3)

    assert key_of(labels_of(key)) == key
    assert key_of({**labels_of(key), "modelyard/launch": "x"}) is None
    assert key_of({}) is None


def test_no_manifest_of_a_job_holds_a_secret() -> None:
    """Tokens and keys are references."""
    for name, manifest in manifests().items():
        if name not in ("secret", "service"):
            for variable in manifest.spec.template.spec.containers[0].env:
                assert (variable.name == "MODELYARD_TOKEN") <= (variable.value is None)


def test_only_prepare_reads_the_bucket() -> None:
    """The Secret with the source's keys is on prepare launches alone."""
    with_source = [
        stage
        for stage in Stage
        if job_of(request(stage), FULL).spec.template.spec.containers[0].env_from
    ]

    assert with_source == [Stage.PREPARE]


@pytest.mark.parametrize(
    ("placement", "word"),
    [
        (Placement(volumes=({"mount_path": "/a", "hostPat": {"path": "/"}},)), "hostPat"),
        (Placement(volumes=({"name": "data", "emptyDir": {}},)), "'data' names no mount_path"),
        (Placement(tolerations=({"key": "a", "efect": "NoSchedule"},)), "efect"),
    ],
)
def test_what_kubernetes_does_not_know_is_refused(placement: Placement, word: str) -> None:
    """A misspelt field of the user's is named before anything is sent."""
    with pytest.raises(ValueError, match=word):
        job_of(request(placement=placement), BARE)


def test_a_spec_that_is_too_long_is_refused() -> None:
    """A spec stays a message under 1 KB."""
    with pytest.raises(ValueError, match="1024 is the limit"):
        job_of(request(parameters={"name": "x" * 1024}), BARE)


def test_a_service_leads_to_a_pod_that_is_ready() -> None:
    """The first ready pod that isn't leaving, by the name or number of its port."""
    service = {"spec": {"ports": [{"port": 80, "targetPort": "http"}, {"port": 81}]}}
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    spec = {"containers": [{"ports": [{"name": "http", "containerPort": 4300}]}]}
    pods = [
        {"metadata": {"name": "new"}, "spec": spec, "status": {}},
        {"metadata": {"name": "old", "deletionTimestamp": "now"}, "spec": spec, "status": ready},
        {"metadata": {"name": "good"}, "spec": spec, "status": ready},
    ]

    assert choose(service, pods, 80) == ("good", 4300)
    assert choose(service, pods, 81) == ("good", 81)
    assert choose(service, pods[:2], 80) is None
