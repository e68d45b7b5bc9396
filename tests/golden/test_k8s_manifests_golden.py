"""The manifests of a launch, compared whole."""

from __future__ import annotations

import os

import pytest

from tests.support.k8s_cases import GOLDEN, as_yaml, manifests

MANIFESTS = manifests()


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_is_the_golden_one(name: str) -> None:
    """What is sent is what tests/golden/k8s says; MODELYARD_REGENERATE=1 rewrites it."""
    text, golden = as_yaml(MANIFESTS[name]), GOLDEN / f"{name}.yaml"
    if os.environ.get("MODELYARD_REGENERATE"):
        if os.environ.get("CI"):
            pytest.fail("golden files are not rewritten under CI")
        golden.write_text(text)
    assert golden.read_text() == text


def test_every_golden_file_is_compared() -> None:
    """No file is left of a manifest that is made no more."""
    assert sorted(path.stem for path in GOLDEN.iterdir()) == sorted(MANIFESTS)
