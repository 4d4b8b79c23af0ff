"""Conversion of errors to RFC 9457 problem documents."""

import re
from http import HTTPStatus
from typing import Any

import psycopg
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.handlers import BaseRouteHandler
from litestar.types import ExceptionHandlersMap

from services.gateway.api import errors, problem_types
from services.gateway.api.errors import RequestError
from services.gateway.api.problem_types import KINDS, ProblemType
from services.gateway.api.query_parameters import QueryError, annotations
from services.gateway.api.validation_messages import plain
from services.kit.errors import TransientError

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
UNREACHABLE = "The database or the message bus does not answer, so nothing was changed. Try again."
BODY = "body"  # used instead of a field name if the whole body is wrong

_BODY_FIELD = re.compile(r"(?:missing required|contains unknown) field `([^`]+)`")

FieldErrors = list[dict[str, str]]


def of(
    error: Exception, *, path: str = "", handler: BaseRouteHandler | None = None
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the problem document of an error, without a request id, and the response headers.

    An unexpected error is logged with the `path` of the request. The types of the `handler` are used
    to list the allowed values of an enumeration.
    """
    if isinstance(error, ExceptionGroup):  # noqa: F821  services run on Python 3.11
        # Litestar raises a group if a dependency translates the error of its handler.
        return of(error.exceptions[0], path=path, handler=handler)
    if isinstance(error, psycopg.errors.IntegrityError):
        error = _of_race(error)
    if isinstance(error, RequestError):
        fields = [{"field": name, "message": str(error)} for name in error.fields]
        document = _document(error.type, str(error), fields) | dict(error.members)
        return document, _headers(error.type, error.retry_after)
    if isinstance(error, ValidationException):
        fields = field_errors(error, handler)
        return _document(ProblemType.VALIDATION, _detail(error, fields), fields), {}
    if isinstance(error, HTTPException):
        return _of_framework(error)
    if isinstance(error, RecursionError):
        type_, detail = ProblemType.MALFORMED_REQUEST, "The body is nested too deeply."
    elif isinstance(error, UnicodeDecodeError):
        # Litestar passes it on from a body.
        log.warning("request_undecodable", path=path, error=str(error))
        type_, detail = ProblemType.MALFORMED_REQUEST, "The body is not UTF-8."
    elif isinstance(error, TransientError):
        log.warning("dependency_away", error=str(error))
        type_, detail = ProblemType.DEPENDENCY_UNAVAILABLE, UNREACHABLE
    else:
        log.error("request_failed", path=path, exc_info=error)
        type_ = ProblemType.INTERNAL_ERROR
        detail = "The console failed. Report the problem with the id of the request."
    return _document(type_, detail), _headers(type_, KINDS[type_].retry_after)


def _of_race(error: psycopg.errors.IntegrityError) -> Exception:
    """Return the refusal of a change that another request overtook; the error itself if none did.

    Handlers check what they refer to, but it can be deleted, or added, before their statement runs.
    """
    if isinstance(error, psycopg.errors.ForeignKeyViolation):
        return errors.not_found()
    if isinstance(error, psycopg.errors.UniqueViolation):
        return RequestError(
            ProblemType.ALREADY_EXISTS, "An object with this name was added at the same time."
        )
    return error


def field_errors(
    error: ValidationException, handler: BaseRouteHandler | None = None
) -> FieldErrors:
    """Return the name of each wrong field and the reason."""
    items = error.extra if isinstance(error.extra, list) else []
    known = {} if handler is None else annotations(handler)
    return [
        {"field": _field(item), "message": _message(item, known)}
        for item in items
        if isinstance(item, dict)
    ]


def _message(item: dict[str, Any], known: dict[str, Any]) -> str:
    message, key = str(item.get("message", "")), str(item.get("key", ""))
    if item.get("source") == "body":
        return plain(message, known.get("data"), "" if key == "data" else key)
    return plain(message, known.get(key))


def _field(item: dict[str, Any]) -> str:
    key = str(item.get("key", ""))
    if item.get("source") != "body":
        return key
    # Only the message names a missing or unknown field. The key names the object that contains it.
    path = [] if key == "data" else [key]
    path += _BODY_FIELD.findall(str(item.get("message", "")))
    return ".".join(path) or BODY


def _detail(error: ValidationException, fields: FieldErrors) -> str:
    if isinstance(error, QueryError):
        return error.detail
    # The framework's own detail repeats the address, which may hold a ticket.
    names = ", ".join(f"`{one['field']}`" for one in fields)
    return f"Missing or wrong: {names}. `errors` says why." if names else "The request is wrong."


def _document(type_: ProblemType, detail: str, fields: FieldErrors | None = None) -> dict[str, Any]:
    kind = KINDS[type_]
    document = {
        "type": type_,
        "title": kind.title,
        "status": kind.status,
        "detail": detail,
        "request_id": "",
    }
    return {**document, "errors": fields} if fields else document


def _headers(type_: ProblemType, retry_after: int = 0) -> dict[str, str]:
    headers = {"Retry-After": str(retry_after)} if retry_after else {}
    if KINDS[type_].status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return headers


def _of_framework(error: HTTPException) -> tuple[dict[str, Any], dict[str, str]]:
    type_ = problem_types.of_status(error.status_code)
    kind = KINDS[type_]
    # For routing errors, the detail of the framework only repeats the status.
    detail = (
        f"{kind.meaning} {kind.action}"
        if error.detail in {"", HTTPStatus(error.status_code).phrase}
        else f"{error.detail.removesuffix('.')}."
    )
    if type_ is ProblemType.MALFORMED_REQUEST:
        detail = f"The request cannot be read: {detail}"
    headers = dict(error.headers) if error.headers else _headers(type_)
    return _document(type_, detail), headers


def answer(request: Request[Any, Any, Any], error: Exception) -> Response[dict[str, Any]]:
    handler = request.scope.get("route_handler")
    document, headers = of(error, path=request.url.path, handler=handler)
    document["request_id"] = request.scope.get("state", {}).get("request_id", "")
    return Response(
        document, status_code=document["status"], media_type=MEDIA_TYPE, headers=headers
    )


HANDLERS: ExceptionHandlersMap = {HTTPException: answer, Exception: answer}
