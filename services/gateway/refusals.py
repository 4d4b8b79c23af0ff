"""Requests about what is on a server that no handler sees, for the audit trail.

A field of another form, a body too large, a container's or a session's id that is a path.
"""

import re

from litestar.exceptions import HTTPException
from litestar.types import Scope

from services.gateway import guard
from services.gateway.credentials import read_token
from services.gateway.guard import ACTION, SCHEME, Connection
from services.gateway.runtime import Runtime
from services.kit.access import Action, Actor

AREAS = ("command", "docker", "files", "shell")
WITHIN = re.compile(
    r"/api/v1/(?:vps/(?P<vps>[0-9a-f-]{36})/)?(?P<area>commands|docker|files|shell(?:-sessions)?)/"
)
STATUSES = {400, 404, 405, 413, 422}
UNKNOWN = "there is no such address"


async def note(error: Exception, scope: Scope) -> None:
    """An entry of it, where the log-in is known."""
    if not isinstance(error, HTTPException) or error.status_code not in STATUSES:
        return
    connection: Connection = Connection(scope)
    handler = scope.get("route_handler")
    if handler is None:
        _note_unknown(connection)
        return
    action, actor = handler.opt.get(ACTION), scope.get("user")
    if not isinstance(action, Action) or action.partition(".")[0] not in AREAS:
        return
    if isinstance(actor, Actor):
        vps_id = scope["path_params"].get("vps_id")
        guard.refused(
            *(connection, f"user:{actor.id}", action, _reason(error)),
            object_id="" if vps_id is None else f"vps:{vps_id}",
            detail=connection.query_params.get("path", ""),
        )


def _note_unknown(connection: Connection) -> None:
    found = WITHIN.match(connection.url.path)
    runtime: Runtime = connection.app.state.runtime
    header = connection.headers.get("authorization", "")
    claims = read_token(runtime.settings.token_secret, header[len(SCHEME) :])
    if found is None or claims is None:
        return
    area = found["area"].removesuffix("-sessions").removesuffix("s")
    object_id = f"vps:{found['vps']}" if found["vps"] else ""
    guard.refused(
        *(connection, f"user:{claims.user_id}", f"{area}.request", UNKNOWN), object_id=object_id
    )


def _reason(error: HTTPException) -> str:
    """Which fields, and never what is in them, which may be a secret."""
    items = error.extra if isinstance(error.extra, list) else []
    fields = [str(item.get("key", "")) for item in items if isinstance(item, dict)]
    return f"{error.status_code}: {', '.join(fields) or 'of no form that is known'}"
