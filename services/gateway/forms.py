"""A file in a multipart form, as it arrives."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from litestar import Request
from litestar.exceptions import InternalServerException
from multipart import (  # type: ignore[import-untyped]
    MultipartError,
    MultipartSegment,
    ParserLimitReached,
    PushMultipartParser,
    parse_options_header,
)

from services.gateway import errors
from services.kit.errors import FlotillaError

FIELD = "data"
MAX_FIELDS = 16
MAX_OTHERS = 64 * 1024  # bytes of all other fields
MAX_AROUND = 64 * 1024  # bytes of a body that are not the file's
SILENCE = 60.0  # seconds without a byte


class ClientGoneError(FlotillaError):
    """Nobody waits for the answer any more."""


def boundary(request: Request[Any, Any, Any]) -> str:
    """Raises: RequestError: it is no multipart form."""
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    found: str = options.get("boundary", "")
    if kind != "multipart/form-data" or not found:
        raise errors.RequestError(
            415,
            "Wrong media type",
            f"Send the file as multipart/form-data, in the field `{FIELD}`.",
        )
    return found


async def file_of(request: Request[Any, Any, Any], boundary: str) -> AsyncGenerator[bytes, None]:
    """The bytes of the field `data`.

    Raises:
        RequestError: the form is malformed, or the client is too slow.
        ClientGoneError: it went away.
    """
    found = inside = False
    others = 0
    try:
        parser = PushMultipartParser(boundary, max_segment_count=MAX_FIELDS)
        async for block in _body(request):
            for event in parser.parse(block):
                if isinstance(event, MultipartSegment):
                    inside = event.name == FIELD and not found
                    found |= inside
                elif inside and event:
                    yield event
                elif event:
                    others += len(event)
                    if others > MAX_OTHERS:
                        raise errors.invalid(f"Only the field `{FIELD}` may be large.")
        parser.close()
    except ParserLimitReached:
        raise errors.invalid("The form has too many or too long fields.") from None
    except MultipartError:
        raise errors.invalid("The body is no whole multipart form.") from None
    if not found:
        raise errors.invalid(f"The form has no field `{FIELD}`.")


async def _body(request: Request[Any, Any, Any]) -> AsyncIterator[bytes]:
    blocks = request.stream()
    while True:
        try:
            async with asyncio.timeout(SILENCE):
                block = await anext(blocks, b"")
        except TimeoutError:
            raise errors.RequestError(
                408, "Too slow", f"No byte arrived for {SILENCE:.0f} s. Go on with the upload."
            ) from None
        except InternalServerException:
            raise ClientGoneError("the client went away") from None
        if not block:
            return
        yield block
