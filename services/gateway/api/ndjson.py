"""Answers with one JSON object per line."""

from typing import Any

import msgspec
from litestar.openapi.datastructures import ResponseSpec

MEDIA_TYPE = "application/x-ndjson"


def response_spec(line: Any) -> ResponseSpec:
    """Describe an answer with lines of this type or union in the OpenAPI document."""
    return ResponseSpec(
        line,
        description="One JSON object per line",
        media_type=MEDIA_TYPE,
        generate_examples=False,
    )


def encode(line: msgspec.Struct) -> bytes:
    return msgspec.json.encode(line) + b"\n"
