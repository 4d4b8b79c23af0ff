"""Terminals that run and that were: lists, their end, their recordings."""

import re
import zlib
from collections.abc import AsyncIterator
from typing import Annotated, NoReturn
from uuid import UUID

from litestar import Controller, delete, get
from litestar.params import FromPath, FromQuery, Parameter
from litestar.response import Stream

from flotilla.v1.shell_pb2 import ShellAnswer, ShellClose, ShellControl, ShellRefusal, ShellUser
from services.gateway import errors
from services.gateway.guard import ACTION, AuthedRequest, address, done, owned, refused
from services.gateway.runtime import Runtime, UseRuntime
from services.gateway.servers import MAX_OFFSET, owner_filter
from services.gateway.shell_schemas import ShellSession, ShellSessionPage
from services.gateway.store import fleet, shells
from services.kit import database, subjects
from services.kit.access import Action, Actor, Role, allow
from services.kit.errors import NobodyServesError

SESSION_ID = re.compile(r"[0-9a-f]{32}")
MAX_PAGE = 200
ASCIICAST = "application/x-asciicast"

_STATUSES = {
    ShellRefusal.KIND_OFFLINE: (409, "Offline"),
    ShellRefusal.KIND_FORBIDDEN: (403, "Not allowed there"),
    ShellRefusal.KIND_NOT_FOUND: (404, "Not found there"),
    ShellRefusal.KIND_BUSY: (429, "Busy"),
    ShellRefusal.KIND_INVALID: (422, "Not acceptable"),
    ShellRefusal.KIND_CONFLICT: (409, "In conflict"),
}

Limit = Annotated[int, Parameter(ge=1, le=MAX_PAGE)]
Offset = Annotated[int, Parameter(ge=0, le=MAX_OFFSET)]


class ShellSessionController(Controller):
    tags = ("Terminals",)

    @get(
        "/vps/{vps_id:uuid}/shell-sessions",
        operation_id="listVpsShellSessions",
        summary="One's terminals on a server: those that run, then the newest",
        opt={ACTION: Action.SHELL_READ},
    )
    async def list_of_vps(
        self,
        request: AuthedRequest,
        vps_id: FromPath[UUID],
        runtime: UseRuntime,
        limit: Limit = 50,
        offset: Offset = 0,
    ) -> ShellSessionPage:
        async with database.transaction(runtime.pool) as connection:
            owned(request, await fleet.get(connection, vps_id=vps_id))
        return await _page(request, runtime, vps_id, limit, offset)

    @get(
        "/shell-sessions",
        operation_id="listShellSessions",
        summary="One's terminals: those that run, then the newest",
        opt={ACTION: Action.FLEET_READ},
    )
    async def list(
        self,
        request: AuthedRequest,
        runtime: UseRuntime,
        vps_id: FromQuery[UUID | None] = None,
        limit: Limit = 50,
        offset: Offset = 0,
    ) -> ShellSessionPage:
        return await _page(request, runtime, vps_id, limit, offset)

    @delete(
        "/shell-sessions/{session_id:str}",
        operation_id="endShellSession",
        summary="End a terminal",
        opt={ACTION: Action.SHELL_OPEN},
    )
    async def end(
        self, request: AuthedRequest, session_id: FromPath[str], runtime: UseRuntime
    ) -> None:
        session = await _session(request, runtime, session_id)
        if session.ended_at is not None:
            return
        control = ShellControl(user=shell_user(request.user), close=ShellClose())
        try:
            answer = await runtime.sealed.request(
                subjects.shell_control(session.id), control, ShellAnswer
            )
        except NobodyServesError:
            return  # whoever owned it is gone, and it with it
        if answer.HasField("refusal"):
            refuse(answer.refusal)
        runtime.trail.note(
            actor=f"user:{request.user.id}",
            action="shell.end",
            object=f"vps:{session.vps_id}",
            allowed=True,
            peer=address(request),
            detail=session.id,
        )

    @get(
        "/shell-sessions/{session_id:str}/recording",
        operation_id="shellRecording",
        summary="What a terminal showed, as asciicast v2",
        opt={ACTION: Action.SHELL_READ},
        media_type=ASCIICAST,
    )
    async def recording(
        self, request: AuthedRequest, session_id: FromPath[str], runtime: UseRuntime
    ) -> Stream:
        session = await _session(request, runtime, session_id)
        if not session.recorded:
            raise errors.not_found()
        done(request, f"vps:{session.vps_id}", session.id)
        return Stream(
            _lines(runtime, session.id),
            media_type=ASCIICAST,
            headers={"Content-Disposition": f'attachment; filename="{session.id}.cast"'},
        )


def shell_user(actor: Actor) -> ShellUser:
    return ShellUser(id=str(actor.id), username=actor.username, oversees=actor.role is Role.ADMIN)


def refuse(refusal: ShellRefusal) -> NoReturn:
    """Raises: RequestError, TransientError."""
    if refusal.kind not in _STATUSES:
        raise errors.RequestError(503, "Not available now", refusal.reason, retry_after=5)
    status, title = _STATUSES[refusal.kind]
    retry_after = errors.BUSY_RETRY if status == 429 else 0
    raise errors.RequestError(status, title, refusal.reason, retry_after=retry_after)


async def _page(
    request: AuthedRequest, runtime: Runtime, vps_id: UUID | None, limit: int, offset: int
) -> ShellSessionPage:
    async with database.transaction(runtime.pool) as connection:
        found, total = await shells.page(
            connection,
            user_id=owner_filter(request.user),
            vps_id=vps_id,
            limit=limit,
            offset=offset,
        )
    return ShellSessionPage([_view(session) for session in found], total)


async def _session(request: AuthedRequest, runtime: Runtime, session_id: str) -> shells.Session:
    """Raises: RequestError: 404, the same for absent and for somebody else's."""
    actor, action = f"user:{request.user.id}", request.route_handler.opt[ACTION]
    if not SESSION_ID.fullmatch(session_id):
        refused(request, actor, action, "this is no session's id")
        raise errors.not_found()
    async with database.transaction(runtime.pool) as connection:
        session = await shells.get(connection, session_id=session_id)
    if session is None:
        raise errors.not_found()
    if not allow(request.user, action, session.user_id):
        object_id = f"vps:{session.vps_id}"
        refused(request, actor, action, "not the owner", object_id=object_id)
        raise errors.not_found()
    return session


async def _lines(runtime: Runtime, session_id: str) -> AsyncIterator[bytes]:
    part = 0
    while True:
        async with database.transaction(runtime.pool) as connection:
            data = await shells.part(connection, session_id=session_id, part=part)
        if data is None:
            return
        yield zlib.decompress(data)
        part += 1


def _view(session: shells.Session) -> ShellSession:
    return ShellSession(
        id=session.id,
        vps_id=session.vps_id,
        username=session.username,
        kind="shell" if session.container is None else "container",
        container=session.container,
        started_at=session.started_at,
        ended_at=session.ended_at,
        end_reason=session.end_reason,
        exit_code=session.exit_code,
        viewers=session.viewers,
        bytes=session.bytes,
        recorded=session.recorded,
        duration_seconds=session.duration_seconds,
    )
