"""Pods that tests run by hand, as strictly confined as the project's own."""

from __future__ import annotations

import json
from typing import Any

from tests.support.installation import kubectl

RUN_SECONDS = 180
PYTHON = ("python", "-P", "-c")


def confined(image: str, *, command: tuple[str, ...] = (), **container: Any) -> dict[str, Any]:
    """The spec of a pod with one container under the trials' user, its root files read-only."""
    return {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 10001,
            "runAsGroup": 10001,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": "main",
                "image": image,
                "imagePullPolicy": "IfNotPresent",
                **({"command": list(command)} if command else {}),
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "capabilities": {"drop": ["ALL"]},
                    "readOnlyRootFilesystem": True,
                },
                **container,
            }
        ],
    }


def start(namespace: str, name: str, spec: dict[str, Any], **labels: str) -> None:
    """Make a pod."""
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels},
        "spec": spec,
    }
    kubectl("-n", namespace, "create", "-f", "-", text=json.dumps(pod))


def run(namespace: str, name: str, image: str, program: str) -> str:
    """What a Python program prints in a pod of an image; fails unless it ends with 0."""
    start(namespace, name, confined(image, command=(*PYTHON, program)))
    ended = "--for=jsonpath={.status.containerStatuses[0].state.terminated}"
    waited = ("wait", f"pod/{name}", ended, f"--timeout={RUN_SECONDS}s")
    kubectl("-n", namespace, *waited, seconds=RUN_SECONDS + 30)
    printed = kubectl("-n", namespace, "logs", name)
    phase = kubectl("-n", namespace, "get", "pod", name, "-o", "jsonpath={.status.phase}")
    assert phase == "Succeeded", printed
    return printed
