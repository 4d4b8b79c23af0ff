"""Servers: list, add, change, remove."""

from datetime import timedelta
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Controller, delete, get, patch, post
from litestar.params import FromPath, JSONBody, Parameter

from services.gateway import agents, errors, install, records
from services.gateway.credentials import hash_secret, new_secret
from services.gateway.guard import ACTION, AuthedRequest, done, owned
from services.gateway.runtime import Runtime, UseRuntime
from services.gateway.schemas import (
    Enrolment,
    EnrolmentCreate,
    NewVps,
    Vps,
    VpsCreate,
    VpsPage,
    VpsUpdate,
    WantedPowers,
)
from services.gateway.store import fleet
from services.kit import database, subjects
from services.kit.access import Action, Actor, Role

TOKEN_LIFETIME = timedelta(minutes=10)
MAX_PAGE = 1_000
MAX_OFFSET = 1_000_000


class ServerController(Controller):
    path = "/vps"
    tags = ("Servers",)

    @get(
        operation_id="listVps",
        summary="Servers, by name",
        opt={ACTION: Action.FLEET_READ},
    )
    async def list(
        self,
        request: AuthedRequest,
        runtime: UseRuntime,
        search: Annotated[str, Parameter(max_length=100, pattern=r"^[^\x00]*$")] = "",
        limit: Annotated[int, Parameter(ge=1, le=MAX_PAGE)] = 200,
        offset: Annotated[int, Parameter(ge=0, le=MAX_OFFSET)] = 0,
    ) -> VpsPage:
        async with database.transaction(runtime.pool) as connection:
            items, total = await fleet.page(
                connection,
                owner_id=owner_filter(request.user),
                search=search,
                limit=limit,
                offset=offset,
            )
        return VpsPage([_view(runtime, vps) for vps in items], total)

    @post(
        operation_id="createVps",
        summary="Add a server and get its install line",
        opt={ACTION: Action.VPS_CREATE},
    )
    async def create(
        self, request: AuthedRequest, data: JSONBody[VpsCreate], runtime: UseRuntime
    ) -> NewVps:
        async with database.transaction(runtime.pool) as connection:
            vps = await fleet.insert(connection, user_id=request.user.id, name=data.name)
            enrolment = await _enrolment(runtime, connection, vps.id, data.powers)
        await runtime.refresh_fleet()
        done(request, f"vps:{vps.id}", vps.name)
        key = runtime.signer.public_key
        fields = records.vps_fields(vps, None, command_key=key, with_detail=False)
        return msgspec.convert({**fields, "enrolment": enrolment}, NewVps)

    @get(
        "/{vps_id:uuid}", operation_id="getVps", summary="One server", opt={ACTION: Action.VPS_READ}
    )
    async def get(self, request: AuthedRequest, vps_id: FromPath[UUID], runtime: UseRuntime) -> Vps:
        async with database.transaction(runtime.pool) as connection:
            vps = owned(request, await fleet.get(connection, vps_id=vps_id))
        return _view(runtime, vps, with_detail=True)

    @patch(
        "/{vps_id:uuid}",
        operation_id="updateVps",
        summary="Rename a server, or set up its agent live",
        opt={ACTION: Action.VPS_UPDATE},
    )
    async def update(
        self,
        request: AuthedRequest,
        vps_id: FromPath[UUID],
        data: JSONBody[VpsUpdate],
        runtime: UseRuntime,
    ) -> Vps:
        config = None if data.agent_config is None else records.settings_json(data.agent_config)
        async with database.transaction(runtime.pool) as connection:
            owned(request, await fleet.get(connection, vps_id=vps_id))
            vps = await fleet.update(connection, vps_id=vps_id, name=data.name, agent_config=config)
            if vps is None:
                raise errors.not_found()
            if config is not None:
                # Before the commit: what cannot be pushed is not said to be set.
                await agents.publish_record(runtime.bus, vps)
        done(request, f"vps:{vps_id}")
        return _view(runtime, vps, with_detail=True)

    @delete(
        "/{vps_id:uuid}",
        operation_id="deleteVps",
        summary="Remove a server, its agent's access and its history",
        opt={ACTION: Action.VPS_DELETE},
    )
    async def delete(
        self, request: AuthedRequest, vps_id: FromPath[UUID], runtime: UseRuntime
    ) -> None:
        async with database.transaction(runtime.pool) as connection:
            owned(request, await fleet.get(connection, vps_id=vps_id))
            await fleet.delete(connection, vps_id=vps_id)
            await runtime.bus.delete(subjects.Bucket.AGENTS, str(vps_id))
        await runtime.refresh_fleet()
        done(request, f"vps:{vps_id}")

    @post(
        "/{vps_id:uuid}/enrolment",
        operation_id="renewEnrolment",
        summary="A new install line; an unused earlier one is dead",
        opt={ACTION: Action.VPS_ENROL},
    )
    async def renew(
        self,
        request: AuthedRequest,
        vps_id: FromPath[UUID],
        runtime: UseRuntime,
        data: JSONBody[EnrolmentCreate | None] = None,
    ) -> Enrolment:
        async with database.transaction(runtime.pool) as connection:
            owned(request, await fleet.get(connection, vps_id=vps_id))
            powers = None if data is None else data.powers
            enrolment = await _enrolment(runtime, connection, vps_id, powers)
        done(request, f"vps:{vps_id}")
        return enrolment


def owner_filter(actor: Actor) -> UUID | None:
    """Whose servers the actor sees; None for everybody's."""
    return None if actor.role is Role.ADMIN else actor.id


async def _enrolment(
    runtime: Runtime,
    connection: database.Connection,
    vps_id: UUID,
    powers: WantedPowers | None,
) -> Enrolment:
    token = new_secret()
    expires_at = await fleet.put_token(
        connection, vps_id=vps_id, token_hash=hash_secret(token), lifetime=TOKEN_LIFETIME
    )
    return Enrolment(token, expires_at, install.command(runtime, token, powers or WantedPowers()))


def _view(runtime: Runtime, vps: fleet.Vps, *, with_detail: bool = False) -> Vps:
    server = runtime.live.servers.get(str(vps.id))
    key = runtime.signer.public_key
    fields = records.vps_fields(vps, server, command_key=key, with_detail=with_detail)
    return msgspec.convert(fields, Vps)
