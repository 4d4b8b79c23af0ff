"""Streaming reads of a request's body, raw or as a multipart form."""

import asyncio
from collections.abc import AsyncGenerator
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

from services.gateway.api import errors
from services.gateway.api.problem_types import ProblemType
from services.kit.errors import FlotillaError

FIELD = "data"
MAX_FIELDS = 16
MAX_OTHER_BYTES = 64 * 1024  # bytes of all other fields
MAX_OVERHEAD = 64 * 1024  # bytes of a body that are not the file: boundaries and other fields
BODY_TIMEOUT = 60.0  # seconds without a byte


class ClientGoneError(FlotillaError):
    """The client closed the connection before the end of its body."""


def _boundary(request: Request[Any, Any, Any]) -> str:
    """Raises: RequestError: the body is not a multipart form."""
    media_type, options = parse_options_header(request.headers.get("content-type", ""))
    boundary: str = options.get("boundary", "")
    if media_type != "multipart/form-data" or not boundary:
        raise errors.RequestError(
            ProblemType.UNSUPPORTED_MEDIA_TYPE,
            f"Send the file as multipart/form-data, in the field `{FIELD}`; or as the body of PUT.",
        )
    return boundary


async def file_of(request: Request[Any, Any, Any]) -> AsyncGenerator[bytes, None]:
    """Yield the bytes of the form's field `data` as they arrive.

    Raises:
        RequestError: the body is not a form, the form is malformed, or the client is too slow.
        ClientGoneError: the client closed the connection.
    """
    was_found = is_inside = False
    other_bytes = 0
    try:
        parser = PushMultipartParser(_boundary(request), max_segment_count=MAX_FIELDS)
        async for block in body(request):
            for event in parser.parse(block):
                if isinstance(event, MultipartSegment):
                    is_inside = event.name == FIELD and not was_found
                    was_found |= is_inside
                elif is_inside and event:
                    yield event
                elif event:
                    other_bytes += len(event)
                    if other_bytes > MAX_OTHER_BYTES:
                        raise errors.invalid(
                            f"The fields of the form beside `{FIELD}` have more than"
                            f" {MAX_OTHER_BYTES} bytes. Send only `{FIELD}`.",
                            FIELD,
                        )
        parser.close()
    except ParserLimitReached:
        raise errors.invalid(
            f"The form has more than {MAX_FIELDS} fields, or the names of its fields are too long."
            f" Send only `{FIELD}`.",
            FIELD,
        ) from None
    except MultipartError:
        raise errors.invalid(
            "The body is not a complete multipart form. Send it again.", FIELD
        ) from None
    if not was_found:
        raise errors.invalid(f"The form has no field `{FIELD}`. Send the file in it.", FIELD)


async def body(request: Request[Any, Any, Any]) -> AsyncGenerator[bytes, None]:
    """Yield the bytes of a request's body as they arrive.

    Raises:
        RequestError: the client is too slow.
        ClientGoneError: the client closed the connection.
    """
    blocks = request.stream()
    while True:
        try:
            async with asyncio.timeout(BODY_TIMEOUT):
                block = await anext(blocks, b"")
        except TimeoutError:
            raise errors.RequestError(
                ProblemType.REQUEST_TIMEOUT,
                f"No byte arrived for {BODY_TIMEOUT:.0f} s. Continue the upload.",
            ) from None
        except InternalServerException:
            raise ClientGoneError("the client closed the connection") from None
        if not block:
            return
        yield block
