"""Simulated nodes of the cluster: they have GPUs, and what runs there only says so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.cluster_sweeps import faults
from tests.support.installation import kubectl

TOLERATIONS = [{"key": "kwok.x-k8s.io/node", "operator": "Exists"}]
SIMULATED, REAL = "type=kwok", "type!=kwok"
"""Selectors of nodes."""

_RESULT = {"launch": "{sweep}-{trial}-{launch}", "metrics": {"accuracy": 0.9}, "step": 2}


def there(seconds: float) -> dict[str, Any]:
    """Fields of ``KubernetesSettings`` by which a trial may run on a simulated node, and there
    ends after some seconds with a result as its last message."""
    ends = {"fake/run-duration": f"{seconds:g}s", "fake/message": json.dumps(_RESULT)}
    return {"tolerations": TOLERATIONS, "annotations": ends}


@contextmanager
def simulated_nodes(count: int) -> Iterator[None]:
    """So many nodes of eight GPUs, and one more, while the block runs."""
    faults("fake-nodes", str(count))
    try:
        ready = ("wait", "--for=condition=Ready", "nodes", "-l", SIMULATED, "--timeout=60s")
        kubectl(*ready)
        yield
    finally:
        kubectl("delete", "nodes", "-l", SIMULATED, "--wait=false")


@contextmanager
def cordoned(selector: str) -> Iterator[None]:
    """The nodes of a selector take nothing new while the block runs."""
    kubectl("cordon", "-l", selector)
    try:
        yield
    finally:
        kubectl("uncordon", "-l", selector)
