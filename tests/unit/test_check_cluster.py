"""What ``resources`` asks of a cluster is judged before anything is sent there."""

from __future__ import annotations

from typing import Any

import pytest

from modelyard.errors import ExperimentError
from modelyard.evaluate.catalogue import METRICS
from modelyard.executor import SecretKey
from modelyard.experiment.catalogue import Catalogue
from modelyard.experiment.check import check
from modelyard.experiment.load import experiment_from
from modelyard.experiment.void import void_note
from modelyard.models.families import FAMILIES
from modelyard.sweep.work import placement_of

CLAIM = {"mount_path": "/data", "persistentVolumeClaim": {"claimName": "data"}}


def document(resources: dict[str, Any]) -> dict[str, Any]:
    return {"name": "a", "data": {"source": "sklearn:digits"}, "resources": resources}


def mistakes(resources: dict[str, Any]) -> dict[str, str]:
    known = Catalogue(families=FAMILIES, metrics=METRICS)
    raw = document(resources)
    return {m.path: m.message for m in check(experiment_from(raw), known, raw)}


@pytest.mark.parametrize(
    ("resources", "path", "says"),
    [
        ({"memory": "2"}, "memory", "as in 2Gi"),
        ({"cpus": 0.0001}, "cpus", "0.001"),
        ({"queue": "A b"}, "queue", "no name in Kubernetes"),
        ({"image_pull_secrets": ["ok", "No"]}, "image_pull_secrets.1", "no name in Kubernetes"),
        ({"image": "yard trial"}, "image", "no image"),
        ({"tolerations": [{"key": "a", "keys": "b"}]}, "tolerations.0.keys", "did you mean 'key'"),
        ({"tolerations": [{"key": "a", "effect": "noschedule"}]}, "tolerations.0.effect", "NoSche"),
        ({"tolerations": [{"key": "a", "operator": "In"}]}, "tolerations.0.operator", "Exists"),
        ({"tolerations": [{"effect": "NoExecute"}]}, "tolerations.0", "operator: Exists"),
        (
            {"tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]},
            "tolerations.0.value",
            "takes no value",
        ),
        ({"env": {"A-B": "x"}}, "env.A-B", "no name of a variable"),
        ({"env": {"MODELYARD_TOKEN": "x"}}, "env.MODELYARD_TOKEN", "set by Modelyard"),
        ({"env": {"A": {"secret": "S!", "key": "k"}}}, "env.A.secret", "no name of a Secret"),
        ({"volumes": [{"emptyDir": {}}]}, "volumes.0", "mount_path"),
        ({"volumes": [{"mount_path": "data", "emptyDir": {}}]}, "volumes.0.mount_path", "absolute"),
        ({"volumes": [{"mount_path": "/a"}]}, "volumes.0", "exactly one kind"),
        ({"volumes": [{**CLAIM, "emptyDir": {}}]}, "volumes.0", "exactly one kind"),
        ({"volumes": [{"mount_path": "/a", "pvc": {}}]}, "volumes.0.pvc", "unknown key"),
        ({"volumes": [{"mount_path": "/a", "nfs": "x"}]}, "volumes.0.nfs", "a mapping"),
        ({"volumes": [CLAIM, CLAIM]}, "volumes.1.mount_path", "two volumes"),
        (
            {"volumes": [{**CLAIM, "name": "v"}, {**CLAIM, "name": "v", "mount_path": "/b"}]},
            "volumes.1.name",
            "two volumes",
        ),
        ({"volumes": [{**CLAIM, "name": "V"}]}, "volumes.0.name", "no name of a volume"),
        ({"volumes": [{**CLAIM, "read_only": "yes"}]}, "volumes.0.read_only", "true or false"),
        ({"labels": {"sweep": "{Sweep}"}}, "labels.sweep", "did you mean '{sweep}'"),
        ({"labels": {"a": "not a label!"}}, "labels.a", "63 letters"),
        ({"labels": {"a/b/c": "x"}}, "labels.a/b/c", "[prefix/]name"),
        ({"labels": {"modelyard/sweep": "x"}}, "labels.modelyard/sweep", "set by Modelyard"),
        ({"annotations": {"a": "{trials}"}}, "annotations.a", "{sweep}, {trial}, {launch}"),
        ({"node_selector": {"gpu": "a b"}}, "node_selector.gpu", "63 letters"),
    ],
)
def test_what_kubernetes_would_refuse_is_a_mistake(
    resources: dict[str, Any], path: str, says: str
) -> None:
    """One mistake at the key itself, with what would do."""
    found = mistakes(resources)
    assert list(found) == [f"resources.{path}"]
    assert says in found[f"resources.{path}"]


def test_what_a_cluster_can_follow_is_no_mistake() -> None:
    """Every key once, as the documentation shows it."""
    resources = {
        "cpus": 0.5,
        "memory": "512Mi",
        "node_selector": {"kubernetes.io/arch": "amd64"},
        "tolerations": [
            {"key": "gpu", "operator": "Equal", "value": "yes", "effect": "NoSchedule"},
            {"operator": "Exists"},
        ],
        "queue": "team-a.gpus",
        "priority_class": "high",
        "service_account": "trials",
        "image": "yard/trial:1",
        "image_pull_secrets": ["registry"],
        "env": {"PLAIN": "x", "HUB_TOKEN": {"secret": "hub", "key": "token"}},
        "volumes": [CLAIM, {"name": "tmp", "mount_path": "/scratch", "emptyDir": {}}],
        "labels": {"team/trial": "{sweep}-{trial}.{launch}"},
        "annotations": {"note": 'any text {"json": 1} of {sweep}'},
    }
    assert mistakes(resources) == {}
    placement = placement_of(experiment_from(document(resources)))
    assert placement.env == {"PLAIN": "x", "HUB_TOKEN": SecretKey(name="hub", key="token")}


def test_a_value_of_the_environment_is_never_repeated() -> None:
    """It may be a secret that was written down by mistake."""
    with pytest.raises(ExperimentError) as refused:
        experiment_from(document({"env": {"TOKEN": ["hunter2"]}}))
    assert "hunter2" not in str(refused.value)
    assert "hunter2" not in repr(mistakes({"env": {"A-B": "hunter2"}}))


def test_keys_that_change_nothing_here_are_said() -> None:
    """Those that differ from the default, and none where there is none."""
    assert void_note(experiment_from(document({"threads": 2, "memory": "1Gi"}))) is None
    raw = document({"queue": "q", "env": {"A": "b"}}) | {"budget": {"waiting_hours": 2}}
    note = void_note(experiment_from(raw))
    assert note is not None
    assert "resources.queue, resources.env, budget.waiting_hours" in note
