"""Names and labels of what is ours on a cluster, and what they name. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from modelyard.contract import LaunchKey

MANAGED_BY = "app.kubernetes.io/managed-by"
OURS = "modelyard"
SWEEP_LABEL, TRIAL_LABEL, LAUNCH_LABEL = "modelyard/sweep", "modelyard/trial", "modelyard/launch"
SPEC_LABEL = "modelyard/spec"
LABEL_LIMIT = 63


def shared_name(sweep: str) -> str:
    """Name of what a sweep's launches share: the Secret with its token, the Service."""
    return f"modelyard-{sweep}"


def labels_of(key: LaunchKey) -> dict[str, str]:
    """The labels that name a launch, on its Job and its pod."""
    return {
        **common_labels(key.sweep),
        SWEEP_LABEL: key.sweep,
        TRIAL_LABEL: key.task,
        LAUNCH_LABEL: str(key.number),
    }


def key_of(labels: Mapping[str, str]) -> LaunchKey | None:
    """The launch that labels name; None when they name none."""
    try:
        return LaunchKey(
            sweep=labels[SWEEP_LABEL],
            task=labels[TRIAL_LABEL],
            number=int(labels[LAUNCH_LABEL]),
        )
    except (KeyError, ValueError):
        return None


def spec_label(digest: str) -> str:
    """A spec's digest as a label's value, which holds one digit less than the digest has."""
    return digest[:LABEL_LIMIT]


def common_labels(sweep: str) -> dict[str, str]:
    """The labels of everything that belongs to a sweep."""
    return {
        "app.kubernetes.io/name": "modelyard-trial",
        "app.kubernetes.io/instance": sweep,
        "app.kubernetes.io/part-of": OURS,
        MANAGED_BY: OURS,
    }


def filled(texts: Mapping[str, str], key: LaunchKey) -> dict[str, str]:
    """A user's texts, with a launch's names for ``{sweep}``, ``{trial}`` and ``{launch}``."""
    names = {"{sweep}": key.sweep, "{trial}": key.task, "{launch}": str(key.number)}
    for mark, value in names.items():  # not str.format: other braces are the user's own
        texts = {name: text.replace(mark, value) for name, text in texts.items()}
    return dict(texts)
