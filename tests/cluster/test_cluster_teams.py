"""What one team's namespace may see of another's: nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest

from tests.support.cluster import namespace
from tests.support.installation import Installation, kubectl

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def stranger(installation: Installation) -> Iterator[str]:  # noqa: ARG001
    """A service account of another namespace, as kubectl names it."""
    with namespace("modelyard-other") as other:
        yield f"system:serviceaccount:{other}:default"


def allowed(account: str, namespace: str, verb: str, what: str) -> bool:
    """What the API server itself answers when it is asked about an account."""
    resource, _, group = what.partition(".")
    resource, _, part = resource.partition("/")
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": account,
            "resourceAttributes": {
                "namespace": namespace,
                "verb": verb,
                "group": group,
                "resource": resource,
                "subresource": part,
            },
        },
    }
    answer = kubectl("create", "-f", "-", "-o", "json", text=json.dumps(review))
    return bool(json.loads(answer)["status"]["allowed"])


@pytest.mark.parametrize("what", ["secrets", "jobs.batch", "pods", "pods/log"])
@pytest.mark.parametrize("verb", ["get", "list", "watch", "create", "delete"])
def test_another_namespace_may_do_nothing_here(
    installation: Installation, stranger: str, verb: str, what: str
) -> None:
    """A request in its name is refused by the API server itself."""
    assert not allowed(stranger, installation.namespace, verb, what)


def test_the_server_may_do_nothing_in_another_namespace(
    installation: Installation, stranger: str
) -> None:
    """Its Role holds where a team let it in, and nowhere else."""
    other = stranger.split(":")[2]
    server = f"system:serviceaccount:{installation.namespace}:modelyard"

    assert allowed(server, installation.namespace, "create", "jobs.batch")
    assert not allowed(server, other, "create", "jobs.batch")


@pytest.mark.parametrize("path", ["/v1/sweeps", "/v1/models/digits", "/v1/events", "/docs"])
@pytest.mark.parametrize("key", [None, "wrong"])
def test_without_the_key_the_server_says_nothing(
    installation: Installation, path: str, key: str | None
) -> None:
    """401, and no word of what is there."""
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}

    answer = httpx.get(f"{installation.address}{path}", headers=headers, trust_env=False)

    assert answer.status_code == 401


def test_the_bucket_is_closed_to_strangers(installation: Installation) -> None:
    """Without keys there is neither a list nor an object."""
    for path in ("/modelyard", "/modelyard/?list-type=2"):
        assert httpx.get(f"{installation.s3}{path}", trust_env=False).status_code == 403
