"""The OpenAPI document, and the page that shows it."""

import json
from typing import Any

from litestar import Litestar, MediaType, Request, get
from litestar.openapi.plugins import OpenAPIRenderPlugin

from services.gateway.api.problem_types import KINDS, ProblemType
from services.gateway.api.rules import PUBLIC

PATH = "/api/v1/openapi.json"

TYPE = {
    "type": "string",
    "title": "ProblemType",
    "description": "Decide by this, never by title or detail.\n\n"
    + "\n".join(
        f"- `{kind}` ({KINDS[kind].status}): {KINDS[kind].meaning}" for kind in ProblemType
    ),
    "enum": [str(kind) for kind in ProblemType],
}
PROBLEM = {
    "type": "object",
    "title": "Problem",
    "description": "RFC 9457; `type` is a URI reference that leads to its description",
    "required": ["type", "title", "status", "detail", "request_id"],
    "properties": {
        "type": {"$ref": "#/components/schemas/ProblemType"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "request_id": {"type": "string"},
        "challenge": {
            "type": "string",
            "description": "Only in `second-factor-required`: secret that completes the log-in",
        },
        "expires_in": {
            "type": "integer",
            "description": "Only in `second-factor-required`: seconds until the challenge expires",
        },
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "message"],
                "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
            },
        },
    },
}
FAILURE = {
    "description": "A problem document: what happened, why, what to do, and the request's id",
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Flotilla · API</title>
<link rel="icon" href="/mark.svg" type="image/svg+xml">
<link rel="stylesheet" href="/vendor/swagger-ui/swagger-ui.css">
<body><div id="api"></div>
<script src="/vendor/swagger-ui/swagger-ui-bundle.js"></script>
<script src="/vendor/swagger-ui/start.js"></script>
</body>
</html>
"""


def document(app: Litestar) -> dict[str, Any]:
    """Return the OpenAPI document, with problem documents as the answers to failures."""
    schema = app.openapi_schema.to_schema()
    schema["components"]["schemas"] |= {"Problem": PROBLEM, "ProblemType": TYPE}
    for operations in schema["paths"].values():
        for operation in operations.values():
            operation["responses"].pop("400", None)
            operation["responses"]["default"] = FAILURE
    return schema


class DocumentPlugin(OpenAPIRenderPlugin):
    """Serves the document at the path it is mounted on."""

    def __init__(self) -> None:
        super().__init__(path="/", media_type=MediaType.JSON)

    def render(self, request: Request[Any, Any, Any], _schema: dict[str, Any]) -> bytes:
        return json.dumps(document(request.app)).encode()


@get("/docs", opt={PUBLIC: True}, include_in_schema=False, media_type=MediaType.HTML)
async def page() -> str:
    return PAGE
