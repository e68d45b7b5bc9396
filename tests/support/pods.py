"""Pods that tests run by hand, as strictly confined as the project's own."""

from __future__ import annotations

import json
from typing import Any

from tests.support.installation import kubectl

RUN_SECONDS = 180
PYTHON = ("python", "-P", "-c")


def confined(
    image: str,
    *,
    command: tuple[str, ...] = (),
    volumes: dict[str, dict[str, Any]] | None = None,
    **container: Any,
) -> dict[str, Any]:
    """The spec of a pod with one container under the trials' user, its root files read-only.

    Args:
        volumes: sources by the path where they are mounted, beside an empty ``/tmp``.
        container: further fields of the container.
    """
    mounted = {"/tmp": {"emptyDir": {}}, **(volumes or {})}
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
                "volumeMounts": [
                    {"name": f"volume-{number}", "mountPath": path}
                    for number, path in enumerate(mounted)
                ],
                **container,
            }
        ],
        "volumes": [
            {"name": f"volume-{number}", **source} for number, source in enumerate(mounted.values())
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
    code = "jsonpath={.status.containerStatuses[0].state.terminated.exitCode}"
    assert kubectl("-n", namespace, "get", "pod", name, "-o", code) == "0", printed
    return printed
