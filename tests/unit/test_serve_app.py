"""The model server's HTTP side, over a real model."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from modelyard.errors import SchemaMismatch
from modelyard.serve.app import PROCESS_HEADER, Limits, create_app
from modelyard.serve.model import Served, open_model
from tests.support.packed import table_model

ROW = {"age": 40, "spend": 12.5, "plan": "pro"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    return open_model(table_model(tmp_path_factory.mktemp("churn")).model, name="churn", version=3)


@pytest.fixture
def ask(served: Served) -> Callable[..., httpx.Response]:
    def send(
        method: str,
        path: str,
        *,
        limits: Limits | None = None,
        draining: bool = False,
        **request: Any,
    ) -> httpx.Response:
        app = create_app(served, limits=limits, draining=lambda: draining)

        async def exchange() -> httpx.Response:
            transport = httpx.ASGITransport(app=app)
            async with httpx.AsyncClient(transport=transport, base_url="http://model") as client:
                return await client.request(method, path, **request)

        return asyncio.run(exchange())

    return send


def invoke(ask: Callable[..., httpx.Response], rows: Any, **options: Any) -> httpx.Response:
    return ask("POST", "/invocations", json={"dataframe_records": rows}, **options)


def test_a_row_is_answered_with_prediction_and_confidence(
    ask: Callable[..., httpx.Response],
) -> None:
    """The answer names model and version, and holds one prediction for each row."""
    answer = invoke(ask, [ROW, {**ROW, "spend": 95.0}])
    assert answer.status_code == 200
    assert answer.headers[PROCESS_HEADER] == str(os.getpid())
    document = answer.json()
    assert (document["model"], document["version"]) == ("churn", 3)
    assert [p["prediction"] for p in document["predictions"]] == ["yes", "no"]
    assert all(0.5 <= p["confidence"] <= 1 for p in document["predictions"])


def test_missing_cells_and_unseen_categories_are_served(ask: Callable[..., httpx.Response]) -> None:
    """Rows come as they stand in a CSV."""
    rows = [{"age": None, "spend": "", "plan": None}, {**ROW, "plan": "never seen"}]
    assert len(invoke(ask, rows).json()["predictions"]) == 2


@pytest.mark.parametrize(
    ("row", "column"),
    [
        ({"age": 40, "plan": "pro"}, "spend"),
        ({**ROW, "age": "forty"}, "age"),
        ({**ROW, "colour": "red"}, "colour"),
        ({**ROW, "spend": [1]}, "spend"),
    ],
)
def test_a_wrong_column_is_answered_422_with_its_name(
    ask: Callable[..., httpx.Response], row: dict[str, Any], column: str
) -> None:
    """Missing, unknown and mistyped columns are named."""
    answer = invoke(ask, [row])
    assert answer.status_code == 422
    assert [mistake["path"] for mistake in answer.json()["mistakes"]] == [column]
    assert column in answer.json()["error"]


def test_half_a_character_is_the_sender_s_mistake(ask: Callable[..., httpx.Response]) -> None:
    """A name that can't be sent back as it came is answered all the same."""
    stranger = ask("POST", "/invocations", content=b'{"\\ud800": []}')
    assert stranger.status_code == 400
    assert stranger.json()["error"].startswith("the body holds ?;")
    column = ask("POST", "/invocations", content=b'{"instances": [{"\\ud800": 1}]}')
    assert column.status_code == 422
    assert [mistake["path"] for mistake in column.json()["mistakes"]] == ["?"]


def test_malformed_json_is_answered_400(ask: Callable[..., httpx.Response]) -> None:
    """What isn't JSON is the sender's mistake, said in a sentence."""
    answer = ask("POST", "/invocations", content=b"{not json")
    assert answer.status_code == 400
    assert "not JSON" in answer.json()["error"]


def test_too_many_rows_are_answered_413(ask: Callable[..., httpx.Response]) -> None:
    """The limit of a batch is named."""
    answer = invoke(ask, [ROW] * 3, limits=Limits(rows=2))
    assert answer.status_code == 413
    assert "3 rows are more than 2" in answer.json()["error"]


def test_a_too_large_body_is_answered_413_whether_announced_or_not(
    ask: Callable[..., httpx.Response],
) -> None:
    """A body without a length is read no further than the limit."""

    async def chunks() -> Any:
        for _ in range(4):
            yield b" " * 10

    announced = ask("POST", "/invocations", content=b" " * 31, limits=Limits(body_bytes=30))
    streamed = ask("POST", "/invocations", content=chunks(), limits=Limits(body_bytes=30))
    assert (announced.status_code, streamed.status_code) == (413, 413)


def test_a_full_queue_is_answered_503(ask: Callable[..., httpx.Response]) -> None:
    """Whoever comes when too many wait is told to come again, instead of waiting for ever."""
    answer = invoke(ask, [ROW], limits=Limits(waiting=0))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


def test_a_server_that_drains_is_not_ready_but_healthy(ask: Callable[..., httpx.Response]) -> None:
    """Nobody sends it new work, and nobody restarts it."""
    assert ask("GET", "/readyz").status_code == 200
    assert ask("GET", "/readyz", draining=True).status_code == 503
    assert ask("GET", "/healthz", draining=True).status_code == 200


def test_the_version_is_told(ask: Callable[..., httpx.Response]) -> None:
    """Model, version and program."""
    document = ask("GET", "/version").json()
    assert (document["model"], document["version"]) == ("churn", 3)


def test_requests_rows_errors_and_seconds_are_counted(served: Served) -> None:
    """Prometheus sees each answer by its status, the time it took, and the rows predicted."""
    app = create_app(served)

    async def exchange() -> str:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://model") as client:
            await client.post("/invocations", content=json.dumps({"instances": [ROW, ROW]}))
            await client.post("/invocations", content=b"")
            return (await client.get("/metrics")).text

    text = asyncio.run(exchange())
    for line in (
        'modelyard_requests_total{status="200"} 1.0',
        'modelyard_requests_total{status="400"} 1.0',
        'modelyard_errors_total{status="400"} 1.0',
        "modelyard_rows_total 2.0",
        "modelyard_request_seconds_count 2.0",
        'modelyard_model{model="churn",version="3"} 1.0',
    ):
        assert line in text.splitlines()


def test_a_model_that_cannot_answer_its_example_is_not_served(tmp_path: Path) -> None:
    """What would fail at the first request fails at the start."""
    folder = table_model(tmp_path).model
    (folder / "example.json").write_text('{"dataframe_records": [{"age": 1}]}')
    with pytest.raises(SchemaMismatch, match="spend"):
        open_model(folder, name="churn", version=1)
