"""One connection to our server: requests, waits that bear its restart, and its refusals.

A server that restarts is found again: one of this machine through its service file, one of a
cluster at the same address.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx
from pydantic import SecretStr

from modelyard.api import Problem
from modelyard.errors import (
    ExperimentError,
    InputError,
    Mistake,
    ServerRefused,
    ServerUnreachable,
)

SILENCE_SECONDS = 45.0
"""A stream that is quiet for longer is dead: the server's heartbeat comes three times as often."""

RETRY_SECONDS = 0.2

AWAY = (502, 503, 504)
"""What is answered for a server that is being replaced, or by one whose database is."""

Value = TypeVar("Value")


class Connection:
    """Speaks HTTP with one server, in our errors.

    Args:
        address: base URL, ``http://127.0.0.1:4300``.
        service: the server's service file, where it is asked for the address again.
        patience_seconds: how long a wait bears a server that doesn't answer.
        api_key: shown with each request, where the server asks for one.
        remote: a cluster's server, which nobody here can start.

    Raises:
        InputError: address or key can't be used.
    """

    def __init__(
        self,
        address: str,
        *,
        service: Path | None,
        patience_seconds: float,
        api_key: SecretStr | None = None,
        remote: bool = False,
    ) -> None:
        self.address = address
        self.patience_seconds = patience_seconds
        self._service = service
        self._remote = remote
        self._headers = _authorization(api_key)
        self._http = _http(address, self._headers)

    def close(self) -> None:
        """Free the connections."""
        self._http.close()

    def send(
        self, method: str, path: str, *, accepted: tuple[int, ...] = (), **options: Any
    ) -> httpx.Response:
        """One request.

        Args:
            accepted: statuses from 400 on that are answers, not refusals.
            options: those of ``httpx.Client.request``.

        Raises:
            ServerUnreachable: the server doesn't answer.
            ServerRefused: it answers with an error; carries the status.
            ExperimentError: it found mistakes in an experiment.
        """
        try:
            answer = self._http.request(method, path, **options)
        except httpx.TransportError as error:
            raise self._unreachable(error) from error
        if answer.status_code >= 400 and answer.status_code not in accepted:
            raise self._refused(answer)
        return answer

    def patiently(self, call: Callable[[], Value]) -> Value:
        """Call again while the server is away, for a while, wherever it answers by then."""
        begun = time.monotonic()
        while True:
            try:
                return call()
            except (ServerUnreachable, ServerRefused) as error:
                if not is_away(error) or time.monotonic() - begun > self.patience_seconds:
                    raise
            time.sleep(RETRY_SECONDS)
            self.relocate()

    def lines(self, path: str, params: dict[str, str]) -> Iterator[str]:
        """The lines of an answer that goes on for ever, until the server ends it.

        Raises:
            ServerUnreachable: the server doesn't answer, or has been silent too long.
            ServerRefused: it answers with an error.
        """
        timeout = httpx.Timeout(5.0, read=SILENCE_SECONDS)
        try:
            with self._http.stream("GET", path, params=params, timeout=timeout) as answer:
                if answer.status_code >= 400:
                    answer.read()
                    raise self._refused(answer)
                yield from answer.iter_lines()
        except httpx.TransportError as error:
            raise self._unreachable(error) from error

    def relocate(self) -> None:
        """Take the address that the service file has now, if it is another."""
        address = None if self._service is None else recorded_address(self._service)
        if address is not None and address != self.address:
            self._http.close()
            self.address, self._http = address, _http(address, self._headers)

    def strange(self) -> ServerUnreachable:
        """Why an answer makes no sense: somebody else has this address, or stands before us."""
        return self._away("what answers there is no Modelyard server")

    def _unreachable(self, error: httpx.TransportError) -> ServerUnreachable:
        return self._away(str(error) or type(error).__name__)

    def _away(self, why: str) -> ServerUnreachable:
        remedy = (
            "see that it runs, and that MODELYARD_SERVER or the kubeconfig leads to it"
            if self._remote
            else "`modelyard up` or `modelyard run` starts it again"
        )
        shown = _without_password(self.address)
        return ServerUnreachable(
            f"the Modelyard server at {shown} doesn't answer ({why}); {remedy}"
        )

    def _refused(self, answer: httpx.Response) -> ServerRefused | ExperimentError:
        problem = _problem(answer)
        if answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY and problem.mistakes:
            mistakes = (
                Mistake(**{**m, "valid": tuple(m.get("valid", ()))}) for m in problem.mistakes
            )
            return ExperimentError("experiment", tuple(mistakes))
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            return ServerRefused(answer.status_code, self._unauthorized())
        return ServerRefused(answer.status_code, problem.error)

    def _unauthorized(self) -> str:
        what = (
            "doesn't take the key in" if self._headers else "asks for a key, and there is none in"
        )
        return (
            f"the Modelyard server at {_without_password(self.address)} {what} "
            "MODELYARD_API_KEY; whoever installed it has it in the Secret modelyard-api-key "
            "(kubectl -n modelyard get secret modelyard-api-key "
            "-o jsonpath='{.data.api-key}' | base64 -d)"
        )


def is_away(error: ServerUnreachable | ServerRefused) -> bool:
    """Whether the server, or its database, is only away: asked again it may answer."""
    return not isinstance(error, ServerRefused) or error.status in AWAY


def recorded_address(file: Path) -> str | None:
    """The address that a service file names; None where there is none."""
    try:
        return str(json.loads(file.read_text())["address"]) or None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _http(address: str, headers: dict[str, str]) -> httpx.Client:
    try:
        return httpx.Client(
            base_url=address,
            headers=headers,
            timeout=httpx.Timeout(30.0, connect=5.0),
            # An http:// address is of this machine, this cluster or this network, with which
            # proxies of the environment have nothing to do. Loading the certificates takes 20 ms,
            # which it can do without too.
            trust_env=address.startswith("https://"),
            verify=address.startswith("https://"),
        )
    except httpx.InvalidURL as error:
        raise InputError(
            f"{address!r} is no server's address ({error}); write http://HOST:PORT"
        ) from error


def _without_password(address: str) -> str:
    """An address as it may be shown: it could hold ``user:password@``."""
    scheme, separator, rest = address.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"


def _authorization(api_key: SecretStr | None) -> dict[str, str]:
    key = "" if api_key is None else api_key.get_secret_value().strip()
    if not key:
        return {}
    if not (key.isascii() and key.isprintable()):
        # Checked here, as an HTTP library would quote the whole header in its complaint.
        raise InputError("the value of MODELYARD_API_KEY is no key: it has unprintable characters")
    return {"Authorization": f"Bearer {key}"}


def _problem(answer: httpx.Response) -> Problem:
    try:
        return Problem.model_validate_json(answer.content)
    except ValueError:
        said = f"the server answered {answer.status_code}: {answer.text[:200]}"
        return Problem(error=said)
