"""The sentences for wrong fields: no Python type and no regular expression is shown."""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
import pytest
from msgspec import Meta

from services.gateway.api.validation_messages import ONE_WORD, PATTERNS, TIME, plain
from services.gateway.app import create_app
from services.gateway.openapi import document


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    level: Literal["debug", "info"] | None = None


class Body(msgspec.Struct, forbid_unknown_fields=True):
    name: Annotated[str, Meta(min_length=1, max_length=5)] = "x"
    tags: list[Annotated[str, Meta(pattern=ONE_WORD)]] | None = None
    kinds: list[Literal["cpu", "load"]] = []
    few: Annotated[list[int], Meta(max_length=2)] = []
    path: Annotated[str, Meta(pattern=r"^/[^\x00]*$")] = "/"
    at: datetime | None = None
    id: UUID | None = None
    ratio: Annotated[float, Meta(ge=0.5, lt=2)] = 1.0
    on: bool = False
    inner: Inner | None = None


@pytest.mark.parametrize(
    ("body", "key", "expected"),
    [
        ({"name": ""}, "name", "Must not be empty."),
        ({"name": "x" * 6}, "name", "Must have 5 characters or less."),
        ({"name": None}, "name", "Must be text."),
        ({"tags": 1}, "tags", "Must be a list."),
        ({"tags": ["a b"]}, "tags[0]", "Must not contain spaces, commas, or hidden characters."),
        ({"kinds": ["gpu"]}, "kinds[0]", "Must be one of: cpu, load."),
        ({"few": [1, 2, 3]}, "few", "Must have 2 items or less."),
        ({"path": "srv"}, "path", "Must begin with `/`."),
        ({"at": "yesterday"}, "at", TIME),
        ({"at": 5}, "at", TIME),
        ({"id": "7"}, "id", "Must be an id, such as 6d9f0bd0-0000-4000-8000-000000000000."),
        ({"ratio": 0.1}, "ratio", "Must be 0.5 or more."),
        ({"ratio": 2}, "ratio", "Must be less than 2.0."),
        ({"on": "yes"}, "on", "Must be true or false."),
        ({"inner": {"level": "loud"}}, "inner.level", "Must be one of: debug, info."),
        ({"inner": []}, "inner", "Must be an object."),
        ({"more": 1}, "", "Unknown: `more`."),
    ],
)
def test_a_wrong_value_is_explained_in_plain_words(
    body: dict[str, Any], key: str, expected: str
) -> None:
    with pytest.raises(msgspec.ValidationError) as raised:
        msgspec.convert(body, Body)
    message = str(raised.value).split(" - at", maxsplit=1)[0]

    assert plain(message, Body, key) == expected


def test_a_wrong_value_of_a_parameter_lists_the_allowed_ones() -> None:
    kind = Literal["write", "off"] | None

    assert plain("Invalid enum value 'on'", kind) == "Must be one of: off, write."


def test_an_unknown_message_stays_as_it_is() -> None:
    assert plain("Something else") == "Something else"
    assert plain("Invalid enum value 'x'") == "Invalid enum value 'x'"


def patterns(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("pattern"), str):
            yield part["pattern"]
        part = list(part.values())
    if isinstance(part, list):
        for inner in part:
            yield from patterns(inner)


def test_every_pattern_of_the_api_has_a_sentence() -> None:
    api = json.loads(json.dumps(document(create_app(None))))

    assert set(patterns(api)) <= set(PATTERNS)
