"""Check of query parameters against the signature of the route handler."""

from collections import Counter
from collections.abc import Collection
from functools import lru_cache
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec
from litestar.connection import ASGIConnection
from litestar.exceptions import ValidationException
from litestar.handlers import BaseRouteHandler, WebsocketRouteHandler

from services.gateway.api.rules import TICKET
from services.gateway.api.validation_messages import plain

UNKNOWN = "This address does not accept this query parameter."
MISSING = "This query parameter is required."
NOT_UTF8 = "The query is not UTF-8. Percent-encode the bytes of each value in UTF-8."
REPEATED = "This query parameter is given more than once. Give it once."

Connection = ASGIConnection[Any, Any, Any, Any]


class QueryError(ValidationException):
    """Query parameters are unknown, repeated, missing or wrong. The detail contains no values."""

    def __init__(self, detail: str, errors: dict[str, str]) -> None:
        extra = [{"key": name, "message": message} for name, message in errors.items()]
        super().__init__(detail, extra=extra)


def check_query(connection: Connection, _handler: BaseRouteHandler) -> None:
    """Refuse a request with unknown, repeated, missing or wrong query parameters.

    No parameter is a list. If a parameter is repeated, authentication might read its first value and
    the handler its last.

    Raises:
        QueryError: its message lists the unknown, repeated, missing and wrong parameters.
    """
    try:
        unquote_to_bytes(connection.scope["query_string"]).decode()
    except UnicodeDecodeError:
        raise QueryError(NOT_UTF8, {}) from None
    known = known_parameters(connection.route_handler, frozenset(connection.path_params))
    given = Counter(name for name, _ in connection.query_params.items())
    errors = {name: REPEATED for name, times in given.items() if times > 1}
    errors |= {name: UNKNOWN for name in given if name not in known}
    errors |= {name: MISSING for name, required in known.items() if required and name not in given}
    if not errors:
        return
    # The framework checks the values only if no parameter is missing.
    errors = _wrong(connection, known) | errors
    raise QueryError(_detail(known, errors), errors)


@lru_cache(maxsize=1024)
def known_parameters(handler: BaseRouteHandler, path_parameters: frozenset[str]) -> dict[str, bool]:
    """Return the query parameters of a handler and its dependencies; true for required ones."""
    model = handler.create_kwargs_model(path_parameters=dict.fromkeys(path_parameters))  # type: ignore[arg-type]
    known = {
        parameter.field_alias: parameter.is_required
        for parameter in sorted(model.expected_query_params, key=lambda one: one.field_alias)
    }
    if isinstance(handler, WebsocketRouteHandler):
        known[TICKET] = False
    return known


def _wrong(connection: Connection, known: Collection[str]) -> dict[str, str]:
    handler = connection.route_handler
    errors = {}
    for name, annotation in annotations(handler).items():
        if name not in connection.query_params or name not in known:
            continue
        try:
            msgspec.convert(
                connection.query_params[name],
                annotation,
                strict=False,
                dec_hook=handler.default_deserializer,
            )
        except msgspec.ValidationError as error:
            errors[name] = plain(str(error), annotation)
    return errors


def annotations(handler: BaseRouteHandler) -> dict[str, Any]:
    """Return the types of the parameters of a handler and its dependencies; `data` is the body."""
    models = [provider.signature_model for provider in handler.resolve_dependencies().values()]
    return {
        name: annotation
        for model in (*models, handler.signature_model)
        for name, annotation in model.__annotations__.items()
    }


def _detail(known: dict[str, bool], errors: dict[str, str]) -> str:
    parts = [
        f"{label} query parameters: {', '.join(f'`{name[:100]}`' for name in names)}."
        for label, names in (
            ("Unknown", [name for name, message in errors.items() if message == UNKNOWN]),
            ("Repeated", [name for name, message in errors.items() if message == REPEATED]),
            ("Missing", [name for name, message in errors.items() if message == MISSING]),
            (
                "Wrong",
                [
                    name
                    for name, message in errors.items()
                    if message not in {UNKNOWN, REPEATED, MISSING}
                ],
            ),
        )
        if names
    ]
    names = ", ".join(f"`{name}`" for name in known)
    parts.append(f"This address accepts: {names}." if names else "This address accepts none.")
    return " ".join(parts)
