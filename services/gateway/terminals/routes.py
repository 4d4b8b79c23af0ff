"""HTTP routes to list and end terminal sessions and to get their recordings."""

import zlib
from collections.abc import AsyncIterator
from uuid import UUID

from litestar import Controller, delete, get
from litestar.di import Provide
from litestar.params import FromQuery
from litestar.response import Stream

from flotilla.v1.shell_pb2 import ShellAnswer, ShellClose, ShellControl
from services.gateway.accounts.authentication import AuthedRequest
from services.gateway.api import errors
from services.gateway.api.pagination import Offset, ShortLimit
from services.gateway.api.request_audit import UseAudit
from services.gateway.api.rules import ACTION
from services.gateway.api.transaction import UseConnection
from services.gateway.context import Context, UseContext
from services.gateway.servers import agent_errors
from services.gateway.servers.access import IN_TRANSACTION, OwnedServer
from services.gateway.servers.visibility import visible_to
from services.gateway.terminals import store as terminal_store
from services.gateway.terminals.access import OwnedTerminal, provide_terminal, shell_user
from services.gateway.terminals.schemas import ShellSession, ShellSessionPage
from services.kit.access import Action, Actor, oversees
from services.kit.bus import subjects
from services.kit.database import pool as database
from services.kit.errors import NoResponderError

ASCIICAST = "application/x-asciicast"


class ShellSessionController(Controller):
    tags = ("Terminals",)
    dependencies = {"terminal": Provide(provide_terminal)}  # noqa: RUF012  Litestar's

    @get(
        "/vps/{vps_id:uuid}/shell-sessions",
        operation_id="listVpsShellSessions",
        summary="List your terminals on a server, running ones first",
        dependencies=IN_TRANSACTION,
        opt={ACTION: Action.SHELL_READ},
    )
    async def list_of_vps(
        self,
        request: AuthedRequest,
        server: OwnedServer,
        db: UseConnection,
        limit: ShortLimit = 50,
        offset: Offset = 0,
    ) -> ShellSessionPage:
        return await _page(db, request.user, server.id, limit=limit, offset=offset)

    @get(
        "/shell-sessions",
        operation_id="listShellSessions",
        summary="List your terminals, running ones first",
        opt={ACTION: Action.FLEET_READ},
    )
    async def list(
        self,
        request: AuthedRequest,
        db: UseConnection,
        vps_id: FromQuery[UUID | None] = None,
        limit: ShortLimit = 50,
        offset: Offset = 0,
    ) -> ShellSessionPage:
        return await _page(db, request.user, vps_id, limit=limit, offset=offset)

    @delete(
        "/shell-sessions/{session_id:str}",
        operation_id="endShellSession",
        summary="End a terminal",
        opt={ACTION: Action.SHELL_OPEN},
    )
    async def end(
        self,
        request: AuthedRequest,
        terminal: OwnedTerminal,
        context: UseContext,
        audit: UseAudit,
    ) -> None:
        if terminal.ended_at is not None:
            return
        await audit.begin(f"vps:{terminal.vps_id}", terminal.id, action="shell.end")
        control = ShellControl(
            user=shell_user(request.user, terminal.organisation_id), close=ShellClose()
        )
        try:
            answer = await context.signing_bus.request(
                subjects.shell_control(terminal.id), control, ShellAnswer
            )
        except NoResponderError:
            return  # The session ended when the shellproxy that owned it stopped.
        if answer.HasField("refusal"):
            problem = agent_errors.refused_terminal(answer.refusal)
            audit.record(
                f"vps:{terminal.vps_id}",
                terminal.id,
                action="shell.end",
                allowed=not agent_errors.was_refused(problem),
                reason=str(problem),
            )
            raise problem

    @get(
        "/shell-sessions/{session_id:str}/recording",
        operation_id="shellRecording",
        summary="Get a recording",
        opt={ACTION: Action.SHELL_READ},
        media_type=ASCIICAST,
    )
    async def recording(
        self, terminal: OwnedTerminal, context: UseContext, audit: UseAudit
    ) -> Stream:
        """Return the recording of a terminal in the format asciicast v2."""
        if not terminal.recorded:
            raise errors.not_found()
        audit.done(f"vps:{terminal.vps_id}", terminal.id)
        return Stream(
            _recording(context, terminal.id),
            media_type=ASCIICAST,
            headers={"Content-Disposition": f'attachment; filename="{terminal.id}.cast"'},
        )


async def _page(
    db: database.Connection, actor: Actor, vps_id: UUID | None, *, limit: int, offset: int
) -> ShellSessionPage:
    found, total = await terminal_store.page(
        db,
        user_id=actor.id,
        visibility=visible_to(actor, Action.SHELL_READ),
        overseen=[one for one, _ in actor.memberships if oversees(actor, one)],
        vps_id=vps_id,
        limit=limit,
        offset=offset,
    )
    return ShellSessionPage([_view(session) for session in found], total)


async def _recording(context: Context, session_id: str) -> AsyncIterator[bytes]:
    part = 0
    while True:
        async with database.transaction(context.pool) as connection:
            data = await terminal_store.recording_part(connection, session_id=session_id, part=part)
        if data is None:
            return
        yield zlib.decompress(data)
        part += 1


def _view(session: terminal_store.Session) -> ShellSession:
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
