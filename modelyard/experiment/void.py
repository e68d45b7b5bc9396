"""Keys that only a cluster follows, for when trials run on this machine."""

from __future__ import annotations

from modelyard.experiment.model import Budget, Experiment
from modelyard.experiment.resources import Resources

CLUSTER_ONLY = (
    "cpus",
    "node_selector",
    "tolerations",
    "queue",
    "priority_class",
    "service_account",
    "image",
    "image_pull_secrets",
    "env",
    "volumes",
    "labels",
    "annotations",
)
"""Of ``resources``: what the local executor takes no notice of."""


def void_note(experiment: Experiment) -> str | None:
    """One sentence about the keys that change nothing on this machine; None where there is none."""
    keys = [
        f"resources.{name}"
        for name in CLUSTER_ONLY
        if getattr(experiment.resources, name) != Resources.model_fields[name].default
    ]
    if experiment.budget.waiting_hours != Budget.model_fields["waiting_hours"].default:
        keys.append("budget.waiting_hours")
    if not keys:
        return None
    return f"Only a cluster follows {', '.join(keys)}: on this machine nothing comes of it."
