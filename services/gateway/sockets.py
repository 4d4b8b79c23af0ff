"""Live data over WebSockets, each opened with a one-time ticket."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import msgspec
from litestar import Controller, WebSocket, post, websocket
from litestar.exceptions import WebSocketDisconnect
from litestar.params import FromPath, JSONBody

from services.gateway import errors, problems
from services.gateway.credentials import Claims, hash_secret, new_secret
from services.gateway.guard import ACTION, PUBLIC, AuthedRequest, actor_of, refused
from services.gateway.live import Viewer
from services.gateway.runtime import Runtime, UseRuntime
from services.gateway.schemas import Ticket, TicketRequest
from services.gateway.store import accounts, fleet
from services.kit import database
from services.kit.access import Action, Actor, allow
from services.kit.errors import TransientError

TICKET_LIFETIME = timedelta(seconds=30)
RECHECK = 60.0  # seconds between looks at whether the session still stands
SEND_TIMEOUT = 30.0  # seconds before a screen that takes nothing is given up
REFUSAL_GRACE = 0.1  # seconds
FLEET = "fleet/realtime"
_VPS = r"vps/(?P<vps>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"

Socket = WebSocket[Any, Any, Any]


@dataclass(frozen=True, slots=True)
class Resource:
    """What a ticket can be for; of several actions behind it, the least."""

    path: re.Pattern[str]
    action: Action


RESOURCES = (
    Resource(re.compile(FLEET), Action.FLEET_READ),
    Resource(re.compile(f"{_VPS}/metrics/realtime"), Action.VPS_READ),
    Resource(re.compile(f"{_VPS}/shell"), Action.SHELL_READ),
    Resource(
        re.compile(f"{_VPS}/docker/containers/[0-9a-f]{{12,64}}/logs/follow"), Action.DOCKER_READ
    ),
)


class TicketController(Controller):
    path = "/ws-tickets"
    tags = ("Live data",)

    @post(
        operation_id="createTicket",
        summary="A ticket that opens one WebSocket, once, within 30 s",
        opt={ACTION: Action.FLEET_READ},
    )
    async def create(
        self, request: AuthedRequest, data: JSONBody[TicketRequest], runtime: UseRuntime
    ) -> Ticket:
        path = data.resource.strip("/").removeprefix("api/v1/")
        try:
            action, vps_id = _resource(path)
        except errors.RequestError as error:
            actor = f"user:{request.user.id}"
            refused(request, actor, "ticket.create", str(error), detail=path)
            raise
        secret = new_secret()
        async with database.transaction(runtime.pool) as connection:
            owner_id = None
            if vps_id is not None:
                vps = await fleet.get(connection, vps_id=vps_id)
                if vps is None:
                    raise errors.not_found()
                owner_id = vps.user_id
            if not allow(request.user, action, owner_id):
                refused(request, f"user:{request.user.id}", action, "no ticket", object_id=path)
                raise errors.not_found()
            expires_at = await accounts.insert_ticket(
                connection,
                secret_hash=hash_secret(secret),
                user_id=request.user.id,
                session_id=request.user.session_id,
                resource=path,
                lifetime=TICKET_LIFETIME,
            )
        return Ticket(secret, expires_at)


def _resource(path: str) -> tuple[Action, UUID | None]:
    """What a ticket for it asks for, and of which server.

    Raises:
        RequestError: there is no such socket.
    """
    for resource in RESOURCES:
        match = resource.path.fullmatch(path)
        if match is not None:
            vps_id = match.groupdict().get("vps")
            return resource.action, None if vps_id is None else UUID(vps_id)
    raise errors.invalid(f"`resource` is the path of a WebSocket, such as `{FLEET}`.")


@websocket("/fleet/realtime", opt={PUBLIC: True})
async def fleet_realtime(socket: Socket, runtime: UseRuntime) -> None:
    async with refusals(socket):
        claims, actor = await admit(socket, runtime, FLEET, Action.FLEET_READ)
        await socket.accept()

        def visible(vps_id: str) -> bool:
            server = runtime.live.servers.get(vps_id)
            return server is not None and allow(actor, Action.VPS_READ, server.owner_id)

        with runtime.live.viewing(visible, with_detail=False) as viewer:
            await _relay(socket, runtime, claims, actor, viewer)


@websocket("/vps/{vps_id:uuid}/metrics/realtime", opt={PUBLIC: True})
async def vps_realtime(socket: Socket, vps_id: FromPath[UUID], runtime: UseRuntime) -> None:
    async with refusals(socket):
        wanted = str(vps_id)
        # Not from memory: this instance may not have heard of a new server yet.
        async with database.transaction(runtime.pool) as connection:
            vps = await fleet.get(connection, vps_id=vps_id)
        owner_id = None if vps is None else vps.user_id
        claims, actor = await admit(
            socket, runtime, f"vps/{wanted}/metrics/realtime", Action.VPS_READ, owner_id
        )
        await socket.accept()
        with runtime.live.viewing(lambda vps: vps == wanted, with_detail=True) as viewer:
            await _relay(socket, runtime, claims, actor, viewer)


@asynccontextmanager
async def refusals(socket: Socket) -> AsyncIterator[None]:
    """Before the upgrade, answer what a request would be answered."""
    try:
        yield
    except (errors.RequestError, TransientError) as error:
        if socket.connection_state != "init":
            raise
        problem = problems.of(error)
        headers = [(b"content-type", problems.MEDIA_TYPE.encode())]
        if isinstance(error, errors.RequestError) and error.retry_after:
            headers.append((b"retry-after", str(error.retry_after).encode()))
        # The types of Litestar know no "websocket.http.response", which ASGI has for this.
        start: Any = {
            "type": "websocket.http.response.start",
            "status": problem["status"],
            "headers": headers,
        }
        body: Any = {"type": "websocket.http.response.body", "body": msgspec.json.encode(problem)}
        await socket.send(start)
        await socket.send(body)
        # uvicorn logs an error when a handler returns while its refusal is still being written.
        await asyncio.sleep(REFUSAL_GRACE)


async def admit(
    socket: Socket,
    runtime: Runtime,
    resource: str,
    action: Action,
    owner_id: UUID | None = None,
) -> tuple[Claims, Actor]:
    """Take the ticket; the caller accepts, or refuses for reasons of its own.

    Raises:
        RequestError: foreign origin, or no ticket for this.
    """
    origin = socket.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != socket.headers.get("host", ""):
        refused(socket, "anonymous", action, "foreign origin")
        raise errors.forbidden()
    ticket = socket.query_params.get("ticket", "")
    taken = None
    if ticket:
        async with database.transaction(runtime.pool) as connection:
            taken = await accounts.take_ticket(
                connection, secret_hash=hash_secret(ticket), resource=resource
            )
    claims = None if taken is None else Claims(session_id=taken[0], user_id=taken[1])
    actor = None if claims is None else await actor_of(runtime, claims)
    if claims is None or actor is None or not allow(actor, action, owner_id):
        refused(socket, "anonymous", action, "no ticket for this")
        raise errors.unauthenticated("Ask for a new ticket.")
    return claims, actor


async def _relay(
    socket: Socket, runtime: Runtime, claims: Claims, actor: Actor, viewer: Viewer
) -> None:
    """Send what arrives until the screen leaves or its session ends."""
    tasks = [
        asyncio.create_task(_send(socket, viewer)),
        asyncio.create_task(_receive(socket)),
        asyncio.create_task(watch_session(runtime, claims, actor)),
    ]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    with suppress(WebSocketDisconnect, RuntimeError):
        await socket.close(code=4401 if tasks[2].done() and not tasks[2].cancelled() else 1000)


async def _send(socket: Socket, viewer: Viewer) -> None:
    with suppress(WebSocketDisconnect, TimeoutError):
        while True:
            for message in await viewer.collect():
                async with asyncio.timeout(SEND_TIMEOUT):
                    await socket.send_text(message.decode())


async def _receive(socket: Socket) -> None:
    # Screens have nothing to say; this notices when they leave.
    with suppress(WebSocketDisconnect):
        while True:
            await socket.receive_data("text")


async def watch_session(runtime: Runtime, claims: Claims, actor: Actor) -> None:
    """Return when the session ended, or its user may see other things than before."""
    while True:
        await asyncio.sleep(RECHECK)
        # While the database is away, the screen keeps what it had.
        with suppress(TransientError):
            if await actor_of(runtime, claims) != actor:
                return
