"""Repeated query parameters are refused: none of their values may be used."""

import pytest
from litestar import Litestar, get
from litestar.params import FromQuery
from litestar.testing import TestClient

from services.gateway.api import problems
from services.gateway.api.query_parameters import check_query


@get("/files")
async def files(path: FromQuery[str], limit: FromQuery[int] = 1) -> str:
    return f"{path} {limit}"


@pytest.mark.parametrize(
    ("query", "repeated"),
    [
        ("path=/a&path=/b", {"path"}),
        ("path=/a&path=/a", {"path"}),
        ("path=/a&pa%74h=/b", {"path"}),
        ("path=/a&%70%61%74%68=/b", {"path"}),
        ("path=/a&limit=1&limit=2", {"limit"}),
        ("path=/a&path=/b&limit=1&limit=x", {"path", "limit"}),
    ],
)
def test_a_repeated_parameter_is_refused_and_named(query: str, repeated: set[str]) -> None:
    with TestClient(app()) as client:
        answer = client.get(f"/files?{query}")

    assert answer.status_code == 422
    assert {one["field"] for one in answer.json()["errors"]} == repeated
    assert "Repeated query parameters: " in answer.json()["detail"]


@pytest.mark.parametrize(
    "query", ["path=/a", "path=/a&limit=1", "path=%2Fa&&", "path=/a%26path=/b"]
)
def test_parameters_that_are_given_once_are_taken(query: str) -> None:
    with TestClient(app()) as client:
        assert client.get(f"/files?{query}").status_code == 200


def app() -> Litestar:
    return Litestar([files], guards=[check_query], exception_handlers=problems.HANDLERS)
