"""Requests that a page of another site makes a browser send."""

from typing import Any

import pytest
from litestar import Litestar, get, post
from litestar.datastructures import State
from litestar.params import JSONBody
from litestar.testing import TestClient
from msgspec import Struct

from services.gateway.accounts.request_origin import check_write
from services.gateway.api import problems

OWN = "https://console.example"


class Name(Struct):
    name: str = ""


class Entries:
    def __init__(self) -> None:
        self.reasons: list[str] = []

    def record(self, **fields: Any) -> None:
        self.reasons.append(fields["reason"])


@post("/named")
async def named(data: JSONBody[Name | None] = None) -> str:
    return "" if data is None else data.name


@post("/plain")
async def plain() -> str:
    return "done"


@get("/read")
async def read() -> str:
    return "read"


@pytest.fixture
def entries() -> Entries:
    return Entries()


@pytest.fixture
def client(entries: Entries) -> Any:
    app = Litestar(
        [named, plain, read],
        guards=[check_write],
        exception_handlers=problems.HANDLERS,
        state=State({"public_url": OWN, "audit_log": entries}),
    )
    with TestClient(app, base_url="http://inside.local:8080") as client:
        yield client


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "https://console.example.evil.example"},
        {"Origin": "http://inside.local:8081"},
        {"Origin": "http://[broken"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
@pytest.mark.parametrize("path", ["/plain", "/named"])
def test_a_page_of_another_origin_changes_nothing(
    client: TestClient[Any], entries: Entries, headers: dict[str, str], path: str
) -> None:
    answer = client.post(path, headers=headers)
    assert answer.status_code == 403
    assert answer.json()["type"] == "/problems/forbidden"
    assert entries.reasons == ["foreign origin"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": OWN},
        {"Origin": "http://inside.local:8080"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Origin": OWN, "Sec-Fetch-Site": "same-origin"},
    ],
)
def test_the_console_and_programs_may(client: TestClient[Any], headers: dict[str, str]) -> None:
    assert client.post("/plain", headers=headers).text == "done"
    assert client.post("/named", json={"name": "box"}, headers=headers).text == "box"


def test_reading_needs_no_origin(client: TestClient[Any]) -> None:
    assert client.get("/read", headers={"Origin": "https://evil.example"}).text == "read"


@pytest.mark.parametrize(
    "media_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonp",
        "application/json-seq",
        "",
    ],
)
def test_a_body_of_another_media_type_is_refused(client: TestClient[Any], media_type: str) -> None:
    headers = {"Content-Type": media_type}
    answer = client.post("/named", content=b'{"name": "box"}', headers=headers)
    assert answer.status_code == 415
    assert answer.json()["type"] == "/problems/unsupported-media-type"


def test_a_body_without_a_media_type_is_refused(client: TestClient[Any]) -> None:
    assert client.post("/named", content=b"{}").status_code == 415
    assert client.post("/named", content=iter([b"{}"])).status_code == 415


@pytest.mark.parametrize(
    "media_type", ["application/json", "Application/JSON", "application/json; charset=utf-8"]
)
def test_json_is_taken(client: TestClient[Any], media_type: str) -> None:
    headers = {"Content-Type": media_type}
    answer = client.post("/named", content=b'{"name": "box"}', headers=headers)
    assert answer.text == "box"


def test_no_body_needs_no_media_type(client: TestClient[Any]) -> None:
    assert client.post("/named").status_code == 201
