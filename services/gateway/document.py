"""The OpenAPI document, and the page that shows it."""

import json
from typing import Any

from litestar import Litestar, MediaType, Request, get
from litestar.openapi.plugins import OpenAPIRenderPlugin

from services.gateway.guard import PUBLIC

PATH = "/api/v1/openapi.json"

PROBLEM = {
    "type": "object",
    "title": "Problem",
    "description": "RFC 9457",
    "required": ["type", "title", "status", "detail", "request_id"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "request_id": {"type": "string"},
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
    "description": "A problem: what happened, why, and the request's id",
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
    """The application's document, with failures as they are really answered."""
    schema = app.openapi_schema.to_schema()
    schema["components"]["schemas"]["Problem"] = PROBLEM
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
