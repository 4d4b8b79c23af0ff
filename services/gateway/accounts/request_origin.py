"""Guard against requests that a page of another site makes a browser send.

A browser sends cookies with such a request. If the body has a media type that forms use, the browser
does not ask this server first. So a foreign page could log its visitor in as somebody else.
"""

from urllib.parse import urlsplit

from litestar.enums import RequestEncodingType, ScopeType
from litestar.handlers import BaseRouteHandler

from services.gateway.api import errors
from services.gateway.api.problem_types import ProblemType
from services.gateway.api.request_audit import Connection, RequestAudit
from services.kit.bus.audit import ANONYMOUS

JSON = RequestEncodingType.JSON.value
SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
# Values of Sec-Fetch-Site: a page of this origin, or no page.
OWN_SITES = {"", "same-origin", "none"}


def check_write(connection: Connection, handler: BaseRouteHandler) -> None:
    """Check the origin and the media type of a request that may change something.

    Raises:
        RequestError: 403, a page of another origin sends it; 415, its body is not JSON.
    """
    if connection.scope["type"] != ScopeType.HTTP or connection.scope["method"] in SAFE_METHODS:
        return
    check_origin(connection)
    data = handler.parsed_data_field
    if data is not None and not _is_json(connection):
        raise errors.RequestError(
            ProblemType.UNSUPPORTED_MEDIA_TYPE,
            f"The body must be JSON. Send it with `Content-Type: {JSON}`.",
        )


def check_origin(connection: Connection) -> None:
    """Check that a request comes from a page of this origin, or from no page.

    Raises:
        RequestError: a page of another origin sends it.
    """
    origin = connection.headers.get("origin")
    if origin is None:
        is_own = connection.headers.get("sec-fetch-site", "") in OWN_SITES
    else:
        is_own = origin == connection.app.state.public_url or (
            _host_of(origin) == connection.headers.get("host", "")
        )
    if not is_own:
        RequestAudit(connection).refused("foreign origin", actor=ANONYMOUS)
        raise errors.forbidden("A page of another origin is not allowed to send this request.")


def _host_of(origin: str) -> str | None:
    """Return the host and the port of an origin; None if it is malformed or has none."""
    try:
        return urlsplit(origin).netloc or None
    except ValueError:
        return None


def _is_json(connection: Connection) -> bool:
    """Tell whether the body is JSON, or absent."""
    headers = connection.headers
    media_type = headers.get("content-type")
    if media_type is None:
        return "transfer-encoding" not in headers and headers.get("content-length", "0") == "0"
    return media_type.partition(";")[0].strip().lower() == JSON
