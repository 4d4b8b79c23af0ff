"""Encodings that clients accept, and answers that are compressed for them."""

import gzip
import json

import httpx
import pytest
from litestar import Litestar, get

from services.gateway.api.compression import COMPRESSED, MIN_SIZE, accepted_encodings


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        ("gzip, deflate, br, zstd", {"gzip", "deflate", "br", "zstd"}),
        ("BR;q=1.0, gzip ; q=0.8", {"br", "gzip"}),
        ("br;q=0, gzip;q=0.000", set()),
        ("gzip;q=a, br;q=nan, zstd;q=-1", set()),
        ("x-gzip, notbr", {"x-gzip", "notbr"}),
        ("", set()),
        (",;,", set()),
    ],
)
def test_an_encoding_is_accepted_if_it_is_named_and_not_refused(
    header: str, accepted: set[str]
) -> None:
    assert accepted_encodings([header]) == accepted


def test_all_lines_of_the_header_count() -> None:
    assert accepted_encodings(["gzip", "br"]) == {"gzip", "br"}


@get("/long", middleware=COMPRESSED, sync_to_thread=False)
def long() -> list[int]:
    return list(range(MIN_SIZE))


@get("/short", middleware=COMPRESSED, sync_to_thread=False)
def short() -> list[int]:
    return [1]


@get("/plain", sync_to_thread=False)
def plain() -> list[int]:
    return list(range(MIN_SIZE))


@pytest.mark.parametrize(
    ("path", "accepts", "encoding"),
    [
        ("/long", "gzip, br", "gzip"),
        ("/long", "br", None),
        ("/long", "gzip;q=0", None),
        ("/long", "identity", None),
        ("/short", "gzip", None),
        ("/plain", "gzip", None),
    ],
)
async def test_long_answers_of_routes_that_opt_in_are_compressed(
    path: str, accepts: str, encoding: str | None
) -> None:
    transport = httpx.ASGITransport(Litestar([long, short, plain], openapi_config=None))  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://console") as client:
        headers = {"Accept-Encoding": accepts}
        async with client.stream("GET", path, headers=headers) as answer:
            body = b"".join([part async for part in answer.aiter_raw()])
    assert answer.headers.get("Content-Encoding") == encoding
    assert int(answer.headers["Content-Length"]) == len(body)
    if encoding:
        assert answer.headers["Vary"] == "Accept-Encoding"
        body = gzip.decompress(body)
    assert json.loads(body) == ([1] if path == "/short" else list(range(MIN_SIZE)))
