"""The executor contract over Jobs of a real cluster."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.executor_suite import Bench, ExecutorSuite
from tests.support.cluster import cluster_bench, namespace

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    """One executor, loop, intake and namespace for all tests; each uses keys of its own."""
    with namespace() as name, cluster_bench(name) as bench:
        yield bench


class TestKubernetesExecutor(ExecutorSuite):
    """The contract."""
