"""What ``resources`` asks of a cluster, as far as Kubernetes would refuse it later."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from modelyard.experiment.keys import Loc
from modelyard.experiment.rules.case import Case, Mistakes, listing

PLACEHOLDERS = ("{sweep}", "{trial}", "{launch}")
"""What labels and annotations may hold; each launch has its own words for them."""

OWN_PREFIXES = ("app.kubernetes.io/", "batch.kubernetes.io/", "modelyard/")
"""Labels and annotations by which launches are found again."""

VOLUME_KEYS = ("name", "mount_path", "read_only")

SOURCES = (
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "hostPath",
    "image",
    "iscsi",
    "nfs",
    "persistentVolumeClaim",
    "projected",
    "secret",
)
"""Kinds of volumes by Kubernetes' own keys."""

TOLERATION_KEYS = ("key", "operator", "value", "effect", "tolerationSeconds")
OPERATORS = ("Exists", "Equal")
EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")

SMALLEST_MEMORY_BYTES = 16 * 2**20
"""Less holds no program; it is a unit that was forgotten."""

_PREFIX = r"([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?"
_WORD = r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
_QUALIFIED = re.compile(_PREFIX + _WORD)
_LABEL_VALUE = re.compile(f"({_WORD})?")
_DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_DNS_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SAMPLE = {"{sweep}": "abcdefgh", "{trial}": "evaluate", "{launch}": "1"}
"""Words as long as they come, to see whether what is made of a template is a label."""


def check_cluster(case: Case) -> Mistakes:
    """Sizes, names, tolerations, variables, volumes, labels and annotations."""
    yield from _sizes(case)
    yield from _ranks(case)
    yield from _names(case)
    yield from _tolerations(case)
    yield from _env(case)
    yield from _volumes(case)
    yield from _labels(case)


def _sizes(case: Case) -> Mistakes:
    wanted = case.experiment.resources
    if wanted.memory_bytes < SMALLEST_MEMORY_BYTES:
        yield case.mistake(
            ("resources", "memory"),
            f"{wanted.memory} holds no program; write it with its unit, as in 2Gi",
        )
    if wanted.cpus * 1000 < 1:
        yield case.mistake(
            ("resources", "cpus"),
            f"{wanted.cpus:g} is below 0.001, the least that can be asked for",
        )


def _ranks(case: Case) -> Mistakes:
    """Several processes fit a network, by parts of each batch; nothing else can be shared so."""
    wanted, family = case.experiment.resources, case.catalogue.family
    for key, count in (("gpus", wanted.gpus), ("nodes", wanted.nodes)):
        if count < 2:
            continue
        if family is not None and not family.network:
            yield case.mistake(
                ("resources", key), f"{family.name} is fitted by one process; write {key}: 1"
            )


def _names(case: Case) -> Mistakes:
    wanted = case.experiment.resources
    named: list[tuple[Loc, str | None]] = [
        (("queue",), wanted.queue),
        (("priority_class",), wanted.priority_class),
        (("service_account",), wanted.service_account),
        *((("image_pull_secrets", i), name) for i, name in enumerate(wanted.image_pull_secrets)),
    ]
    for loc, name in named:
        if name is not None and not _DNS_NAME.fullmatch(name):
            yield case.mistake(
                ("resources", *loc), f"{name!r} is no name in Kubernetes: a-z, 0-9, - and ."
            )
    if wanted.image is not None and not re.fullmatch(r"\S+", wanted.image):
        yield case.mistake(("resources", "image"), f"{wanted.image!r} is no image")


def _tolerations(case: Case) -> Mistakes:
    for index, toleration in enumerate(case.experiment.resources.tolerations):
        loc: Loc = ("resources", "tolerations", index)
        yield from _unknown(case, loc, toleration, TOLERATION_KEYS)
        yield from _one_of(case, loc, toleration, "operator", OPERATORS)
        yield from _one_of(case, loc, toleration, "effect", EFFECTS)
        exists = toleration.get("operator") == "Exists"
        if exists and toleration.get("value"):
            yield case.mistake((*loc, "value"), "operator Exists takes no value: write Equal")
        if not exists and not toleration.get("key"):
            yield case.mistake(loc, "a toleration without key bears every taint: operator: Exists")


def _env(case: Case) -> Mistakes:
    for name, value in case.experiment.resources.env.items():
        loc: Loc = ("resources", "env", name)
        if not _VARIABLE.fullmatch(name):
            # The value isn't repeated: it may be a secret.
            yield case.mistake(
                loc, f"{name!r} is no name of a variable: letters, digits and _", value=name
            )
        elif name.startswith("MODELYARD_"):
            yield case.mistake(loc, f"{name} is set by Modelyard itself", value=name)
        if not isinstance(value, str) and not _DNS_NAME.fullmatch(value.secret):
            yield case.mistake((*loc, "secret"), f"{value.secret!r} is no name of a Secret")


def _volumes(case: Case) -> Mistakes:
    names: set[str] = set()
    paths: set[str] = set()
    for index, volume in enumerate(case.experiment.resources.volumes):
        loc: Loc = ("resources", "volumes", index)
        yield from _volume(case, loc, volume)
        name, path = volume.get("name"), volume.get("mount_path")
        if name is not None and not (isinstance(name, str) and _DNS_LABEL.fullmatch(name)):
            yield case.mistake((*loc, "name"), f"{name!r} is no name of a volume: a-z, 0-9 and -")
        elif name in names:
            yield case.mistake((*loc, "name"), f"there are two volumes {name!r}")
        if path in paths:
            yield case.mistake((*loc, "mount_path"), f"two volumes are to be mounted at {path}")
        names |= {name} if isinstance(name, str) else set()
        paths |= {path} if isinstance(path, str) else set()


def _volume(case: Case, loc: Loc, volume: Mapping[str, Any]) -> Mistakes:
    path = volume.get("mount_path")
    if not (isinstance(path, str) and path.startswith("/") and ":" not in path):
        yield case.mistake(
            (*loc, "mount_path") if path is not None else loc,
            "a volume needs its mount_path, an absolute path in the trial's file system",
        )
    if not isinstance(volume.get("read_only", False), bool):
        yield case.mistake((*loc, "read_only"), "read_only is true or false")
    kinds = [key for key in volume if key not in VOLUME_KEYS]
    unknown = [key for key in kinds if key not in SOURCES]
    yield from _unknown(case, loc, volume, (*VOLUME_KEYS, *SOURCES))
    if not unknown and len(kinds) != 1:
        has = f"has {listing(tuple(kinds))}" if kinds else "has none"
        yield case.mistake(
            loc, f"a volume is of exactly one kind, this one {has}; kinds are {listing(SOURCES)}"
        )
    for key in set(kinds) - set(unknown):
        if not isinstance(volume[key], dict):
            yield case.mistake((*loc, key), f"{key} is a mapping, as Kubernetes writes it")


def _labels(case: Case) -> Mistakes:
    wanted = case.experiment.resources
    for name, value in wanted.node_selector.items():
        yield from _label(case, ("resources", "node_selector", name), name, value)
    for name, value in wanted.labels.items():
        loc: Loc = ("resources", "labels", name)
        yield from _own(case, loc, name)
        yield from _placeholders(case, loc, value)
        yield from _label(case, loc, name, _filled(value))
    for name, value in wanted.annotations.items():
        loc = ("resources", "annotations", name)
        yield from _own(case, loc, name)
        yield from _placeholders(case, loc, value)
        yield from _key(case, loc, name)


def _label(case: Case, loc: Loc, name: str, value: str) -> Mistakes:
    yield from _key(case, loc, name)
    if "{" not in value and not _LABEL_VALUE.fullmatch(value):
        yield case.mistake(
            loc, f"{value!r} can't be a label's value: at most 63 letters, digits, -, _ and ."
        )


def _key(case: Case, loc: Loc, name: str) -> Mistakes:
    if not _QUALIFIED.fullmatch(name):
        yield case.mistake(loc, f"{name!r} is no key in Kubernetes: [prefix/]name", value=name)


def _own(case: Case, loc: Loc, name: str) -> Mistakes:
    if name.startswith(OWN_PREFIXES):
        yield case.mistake(loc, f"{name} is set by Modelyard or Kubernetes itself", value=name)


def _placeholders(case: Case, loc: Loc, value: str) -> Mistakes:
    for found in re.findall(r"\{\w+\}", value):
        if found not in PLACEHOLDERS:
            yield case.mistake(
                loc,
                f"there is no {found}; valid are {listing(PLACEHOLDERS)}",
                value=found,
                valid=PLACEHOLDERS,
            )


def _filled(template: str) -> str:
    for placeholder, word in _SAMPLE.items():
        template = template.replace(placeholder, word)
    return template


def _unknown(case: Case, loc: Loc, given: Mapping[str, Any], known: tuple[str, ...]) -> Mistakes:
    for key in given:
        if key not in known:
            yield case.mistake(
                (*loc, key),
                f"unknown key {key!r}; valid keys: {listing(known)}",
                value=key,
                valid=known,
            )


def _one_of(
    case: Case, loc: Loc, given: Mapping[str, Any], key: str, valid: tuple[str, ...]
) -> Mistakes:
    value = given.get(key)
    if value is not None and value not in valid:
        yield case.mistake(
            (*loc, key), f"{value!r} is not one of {listing(valid)}", value=str(value), valid=valid
        )
