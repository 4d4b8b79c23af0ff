"""The problem types agree with each other, with the API's document and with the reference page."""

import json
import re
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from litestar.exceptions import ValidationException

from services.gateway import openapi
from services.gateway.api import errors, problems
from services.gateway.api.problem_types import KINDS, ProblemType, of_status
from services.gateway.app import create_app
from services.kit.errors import TransientError

ROOT = Path(__file__).parents[4]
# RFC 9110 and Python 3.11 have different names for these.
RFC_9110 = {413: "Content Too Large", 416: "Range Not Satisfiable", 422: "Unprocessable Content"}
PHRASES = {status.value: status.phrase for status in HTTPStatus} | RFC_9110


def test_every_type_has_a_kind_and_a_path_in_kebab_case() -> None:
    assert list(KINDS) == list(ProblemType)
    assert all(re.fullmatch(r"/problems/[a-z]+(-[a-z]+)*", kind) for kind in ProblemType)


def test_a_title_that_is_a_status_phrase_is_the_phrase_of_its_status() -> None:
    phrases = {*PHRASES.values(), *(status.phrase for status in HTTPStatus)}
    wrong = [
        kind
        for kind, known in KINDS.items()
        if known.title in phrases and known.title != PHRASES[known.status]
    ]
    assert wrong == []


def test_texts_are_sentences() -> None:
    for known in KINDS.values():
        for text in (known.meaning, known.action):
            assert re.fullmatch(r"[A-Z`].*\.", text), text


def test_the_document_of_the_api_names_every_type() -> None:
    schemas = openapi.document(create_app(None))["components"]["schemas"]
    assert schemas["ProblemType"]["enum"] == list(ProblemType)
    assert schemas["Problem"]["properties"]["type"] == {"$ref": "#/components/schemas/ProblemType"}
    written = json.loads((ROOT / "web/openapi.json").read_text())["components"]["schemas"]
    assert written["ProblemType"] == schemas["ProblemType"]
    for name in ("ServerLine", "PullLine"):
        assert "#/components/schemas/ProblemType" in json.dumps(schemas[name]), name


def test_the_reference_page_says_what_the_types_are() -> None:
    text = (ROOT / "docs/problems.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| `/problems/")]
    assert rows == [
        f"| `{kind}` | {known.status} | {known.title} | {known.meaning} | {known.action} |"
        for kind, known in KINDS.items()
    ]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 408, 413, 415, 416, 422, 500, 503])
def test_a_bare_status_has_a_type_of_the_same_status(status: int) -> None:
    assert KINDS[of_status(status)].status == status


def test_a_status_without_a_type_is_the_clients_fault_or_ours() -> None:
    assert of_status(418) is ProblemType.MALFORMED_REQUEST
    assert of_status(507) is ProblemType.INTERNAL_ERROR


@pytest.mark.parametrize(
    ("source", "key", "message", "field", "plain"),
    [
        ("query", "limit", "Expected `int` >= 1", "limit", "Must be 1 or more."),
        ("body", "data", "Object missing required field `name`", "name", "Required."),
        (
            *("body", "metadata", "Object contains unknown field `colour`"),
            *("metadata.colour", "Unknown: `colour`."),
        ),
        ("body", "name", "Expected `str`, got `int`", "name", "Must be text."),
        ("body", "data", "Expected `object`, got `array`", "body", "Must be an object."),
    ],
)
def test_each_wrong_field_is_named(
    source: str, key: str, message: str, field: str, plain: str
) -> None:
    item = {"key": key, "source": source, "message": message}
    body, _ = problems.of(ValidationException("GET /x?ticket=secret", extra=[item]))
    assert body["errors"] == [{"field": field, "message": plain}]
    assert f"`{field}`" in body["detail"]
    assert "secret" not in body["detail"]


def headers(error: errors.RequestError | TransientError) -> dict[str, Any]:
    return problems.of(error)[1]


def test_answers_that_can_be_tried_again_say_when() -> None:
    assert headers(errors.busy("Busy.")) == {"Retry-After": "2"}
    assert headers(errors.throttled(17)) == {"Retry-After": "17"}
    assert headers(TransientError("away")) == {"Retry-After": "5"}
    assert headers(errors.not_found()) == {}


def test_every_answer_401_names_the_way_to_log_in() -> None:
    for kind, known in KINDS.items():
        if known.status == 401:
            told = headers(errors.RequestError(kind, "Log in."))
            assert told == {"WWW-Authenticate": "Bearer"}, kind
