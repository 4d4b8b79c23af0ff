import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest
from litestar import Request
from litestar.testing import RequestFactory
from litestar.types import HTTPReceiveMessage

from services.gateway.api.errors import RequestError
from services.gateway.files.multipart import MAX_OTHER_BYTES, ClientGoneError, file_of

FORM = "multipart/form-data; boundary=x"


def field(name: str, value: str) -> bytes:
    return f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()


def request(
    body: bytes, *, content_type: str = FORM, size: int = 1000, cut: bool = False
) -> Request[Any, Any, Any]:
    """Return a request whose body arrives in blocks of `size` bytes."""
    starts = range(0, len(body), size)
    messages: list[HTTPReceiveMessage] = [
        {"type": "http.request", "body": body[at : at + size], "more_body": True} for at in starts
    ]
    end: HTTPReceiveMessage = (
        {"type": "http.disconnect"}
        if cut
        else {"type": "http.request", "body": b"", "more_body": False}
    )
    waiting = itertools.chain(messages, itertools.repeat(end))

    async def receive() -> HTTPReceiveMessage:
        return next(waiting)

    made = RequestFactory().get("/", headers={"Content-Type": content_type})
    return Request(made.scope, receive=receive)


async def read(blocks: AsyncIterator[bytes]) -> bytes:
    return b"".join([block async for block in blocks])


@pytest.mark.parametrize("size", [1, 3, 1000])
async def test_the_field_data_is_read_however_the_body_is_split(size: int) -> None:
    body = field("note", "hello") + field("data", "one\r\n--two") + field("data", "late") + b"--x--"
    assert await read(file_of(request(body, size=size))) == b"one\r\n--two"


async def test_a_file_may_be_empty() -> None:
    assert await read(file_of(request(field("data", "") + b"--x--"))) == b""


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (field("other", "text") + b"--x--", "no field `data`"),
        (field("data", "text"), "not a complete multipart form"),
        (b"text", "not a complete multipart form"),
        (field("a", "b") * 20 + b"--x--", "more than 16 fields"),
        (field("a", "b" * (MAX_OTHER_BYTES + 1)) + b"--x--", f"more than {MAX_OTHER_BYTES} bytes"),
    ],
)
async def test_a_form_that_cannot_be_read_is_refused_with_its_reason(
    body: bytes, detail: str
) -> None:
    with pytest.raises(RequestError, match=detail) as refused:
        await read(file_of(request(body)))
    assert refused.value.fields == ("data",)


@pytest.mark.parametrize("content_type", ["application/json", "multipart/form-data", FORM[10:]])
async def test_a_body_that_is_not_a_form_is_refused(content_type: str) -> None:
    with pytest.raises(RequestError, match="multipart/form-data") as refused:
        await read(file_of(request(b"", content_type=content_type)))
    assert refused.value.status == 415


async def test_a_client_that_goes_away_is_not_taken_for_the_end_of_the_file() -> None:
    with pytest.raises(ClientGoneError):
        await read(file_of(request(field("data", "half"), cut=True)))
