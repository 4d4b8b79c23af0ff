"""Errors as RFC 9457 problem documents."""

from http import HTTPStatus
from typing import Any

import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.types import ExceptionHandlersMap

from services.gateway.errors import RequestError
from services.kit.errors import TransientError

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
AWAY = "The database or the message bus does not answer. Nothing was changed; try again."


def _problem(
    request: Request[Any, Any, Any],
    status: int,
    title: str,
    detail: str,
    *,
    errors: list[dict[str, str]] | None = None,
    headers: dict[str, str] | None = None,
) -> Response[dict[str, Any]]:
    body = _body(status, title, detail, request.scope.get("state", {}).get("request_id", ""))
    if errors:
        body["errors"] = errors
    return Response(body, status_code=status, media_type=MEDIA_TYPE, headers=headers)


def _body(status: int, title: str, detail: str, request_id: str) -> dict[str, Any]:
    return {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
        "request_id": request_id,
    }


def of(error: RequestError | TransientError) -> dict[str, Any]:
    """For a WebSocket that is refused before the upgrade."""
    if isinstance(error, RequestError):
        return _body(error.status, error.title, str(error), "")
    log.warning("dependency_away", error=str(error))
    return _body(503, "Not available now", AWAY, "")


def _refused(request: Request[Any, Any, Any], error: RequestError) -> Response[dict[str, Any]]:
    headers = {"Retry-After": str(error.retry_after)} if error.retry_after else {}
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return _problem(request, error.status, error.title, str(error), headers=headers)


def _away(request: Request[Any, Any, Any], error: TransientError) -> Response[dict[str, Any]]:
    log.warning("dependency_away", error=str(error))
    return _problem(
        request,
        503,
        "Not available now",
        AWAY,
        headers={"Retry-After": "5"},
    )


def _invalid(
    request: Request[Any, Any, Any], error: ValidationException
) -> Response[dict[str, Any]]:
    errors = [
        {"field": str(item.get("key", "")), "message": str(item.get("message", ""))}
        for item in error.extra or []
        if isinstance(item, dict)
    ]
    return _problem(
        request, 422, "Not acceptable", "The request does not have the right form.", errors=errors
    )


def _http(request: Request[Any, Any, Any], error: HTTPException) -> Response[dict[str, Any]]:
    title = HTTPStatus(error.status_code).phrase
    return _problem(
        request,
        error.status_code,
        title,
        error.detail or title,
        headers=dict(error.headers) if error.headers else None,
    )


def _too_deep(request: Request[Any, Any, Any], _error: RecursionError) -> Response[dict[str, Any]]:
    return _problem(request, 400, "Bad Request", "The body is nested too deeply.")


def _unexpected(request: Request[Any, Any, Any], error: Exception) -> Response[dict[str, Any]]:
    log.error("request_failed", path=request.url.path, exc_info=error)
    return _problem(
        request, 500, "Internal error", "Something failed here. The log has this request's id."
    )


HANDLERS: ExceptionHandlersMap = {
    RequestError: _refused,
    TransientError: _away,
    ValidationException: _invalid,
    HTTPException: _http,
    RecursionError: _too_deep,
    Exception: _unexpected,
}
