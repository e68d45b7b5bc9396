"""One connection to our server: requests, waits that bear its restart, and its refusals.

A server that restarts is found again through its service file.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx

from modelyard.api import Problem
from modelyard.errors import ExperimentError, Mistake, ServerRefused, ServerUnreachable

SILENCE_SECONDS = 45.0
"""A stream that is quiet for longer is dead: the server's heartbeat comes three times as often."""

RETRY_SECONDS = 0.2

Value = TypeVar("Value")


class Connection:
    """Speaks HTTP with one server, in our errors.

    Args:
        address: base URL, ``http://127.0.0.1:4300``.
        service: the server's service file, where it is asked for the address again.
        patience_seconds: how long a wait bears a server that doesn't answer.
    """

    def __init__(self, address: str, *, service: Path | None, patience_seconds: float) -> None:
        self.address = address
        self.patience_seconds = patience_seconds
        self._service = service
        self._http = _http(address)

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
            raise _unreachable(self.address, error) from error
        if answer.status_code >= 400 and answer.status_code not in accepted:
            raise _refused(answer)
        return answer

    def patiently(self, call: Callable[[], Value]) -> Value:
        """Call again while the server is away, for a while, wherever it answers by then."""
        begun = time.monotonic()
        while True:
            try:
                return call()
            except ServerUnreachable:
                if time.monotonic() - begun > self.patience_seconds:
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
                    raise _refused(answer)
                yield from answer.iter_lines()
        except httpx.TransportError as error:
            raise _unreachable(self.address, error) from error

    def relocate(self) -> None:
        """Take the address that the service file has now, if it is another."""
        address = None if self._service is None else recorded_address(self._service)
        if address is not None and address != self.address:
            self._http.close()
            self.address, self._http = address, _http(address)


def recorded_address(file: Path) -> str | None:
    """The address that a service file names; None where there is none."""
    try:
        return str(json.loads(file.read_text())["address"]) or None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _http(address: str) -> httpx.Client:
    return httpx.Client(
        base_url=address,
        timeout=httpx.Timeout(30.0, connect=5.0),
        # Proxies of the environment are not asked: the server is on this machine. Loading the
        # certificates takes 20 ms, which an http:// address can do without.
        trust_env=False,
        verify=address.startswith("https://"),
    )


def _unreachable(address: str, error: httpx.TransportError) -> ServerUnreachable:
    return ServerUnreachable(
        f"the Modelyard server at {address} doesn't answer ({error}); "
        "`modelyard up` or `modelyard run` starts it again"
    )


def _refused(answer: httpx.Response) -> ServerRefused | ExperimentError:
    try:
        problem = Problem.model_validate_json(answer.content)
    except ValueError:
        problem = Problem(error=f"the server answered {answer.status_code}: {answer.text[:200]}")
    if answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY and problem.mistakes:
        mistakes = (Mistake(**{**m, "valid": tuple(m.get("valid", ()))}) for m in problem.mistakes)
        return ExperimentError("experiment", tuple(mistakes))
    return ServerRefused(answer.status_code, problem.error)
