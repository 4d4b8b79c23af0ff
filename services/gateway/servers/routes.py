"""Routes to list, add, change and remove servers."""

from datetime import timedelta
from functools import partial
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Controller, delete, get, patch, post, put
from litestar.params import JSONBody, Parameter
from litestar.types import Scope

from services.gateway.accounts.authentication import AuthedRequest
from services.gateway.accounts.tokens import hash_secret, new_secret
from services.gateway.api import errors
from services.gateway.api.compression import COMPRESSED
from services.gateway.api.limits import SERVERS_OF_ORGANISATION, check_quota
from services.gateway.api.pagination import Limit, Offset
from services.gateway.api.request_audit import RequestAudit, UseAudit
from services.gateway.api.rules import ACTION
from services.gateway.api.transaction import UseConnection, after_commit
from services.gateway.context import Context, UseContext
from services.gateway.servers import access, enrolment, install, live_refresh, mapping, store
from services.gateway.servers.access import IN_TRANSACTION, OwnedServer, object_id
from services.gateway.servers.schemas import (
    Enrolment,
    EnrolmentCreate,
    NewVps,
    Vps,
    VpsCreate,
    VpsPage,
    VpsUpdate,
    WantedPowers,
)
from services.gateway.servers.visibility import visible_to
from services.kit.access import Action, Actor
from services.kit.bus import subjects
from services.kit.database import pool as database

TOKEN_LIFETIME = timedelta(minutes=10)


class ServerController(Controller):
    path = "/vps"
    tags = ("Servers",)
    dependencies = IN_TRANSACTION

    @get(
        operation_id="listVps",
        summary="List servers by name",
        opt={ACTION: Action.FLEET_READ},
        middleware=COMPRESSED,
    )
    async def list(
        self,
        *,
        request: AuthedRequest,
        context: UseContext,
        db: UseConnection,
        search: Annotated[str, Parameter(max_length=100, pattern=r"^[^\x00]*$")] = "",
        limit: Limit = 200,
        offset: Offset = 0,
    ) -> VpsPage:
        items, total = await store.page(
            db,
            visibility=visible_to(request.user, Action.VPS_READ),
            search=search,
            limit=limit,
            offset=offset,
        )
        return VpsPage([_view(context, server) for server in items], total)

    @post(
        operation_id="createVps",
        summary="Add a server and get its install line",
        opt={ACTION: Action.VPS_CREATE},
    )
    async def create(
        self,
        request: AuthedRequest,
        data: JSONBody[VpsCreate],
        context: UseContext,
        db: UseConnection,
        audit: UseAudit,
    ) -> NewVps:
        """Add a server to `organisation_id`, or to the caller's only organisation."""
        organisation_id = access.organisation_for(request.user, data.organisation_id, audit)
        check_quota(
            "servers",
            await store.count(db, organisation_id=organisation_id),
            SERVERS_OF_ORGANISATION,
            "servers in this organisation. Delete one that you no longer need.",
        )
        server = await store.insert(
            db, organisation_id=organisation_id, user_id=request.user.id, name=data.name
        )
        new_enrolment = await _enrolment(context, db, server, request.user, data.powers)
        after_commit(request.scope, partial(live_refresh.refresh, context))
        audit.done(object_id(server), server.name)
        key = context.signer.public_key
        fields = mapping.vps_fields(server, None, command_key=key, with_detail=False)
        return msgspec.convert({**fields, "enrolment": new_enrolment}, NewVps)

    @get(
        "/{vps_id:uuid}",
        operation_id="getVps",
        summary="Get one server",
        opt={ACTION: Action.VPS_READ},
        middleware=COMPRESSED,
    )
    async def get(self, server: OwnedServer, context: UseContext) -> Vps:
        return _view(context, server, with_detail=True)

    @patch(
        "/{vps_id:uuid}",
        operation_id="updateVps",
        summary="Rename or tag a server, or change the settings of its agent",
        opt={ACTION: Action.VPS_UPDATE},
    )
    async def update(
        self,
        *,
        request: AuthedRequest,
        server: OwnedServer,
        data: JSONBody[VpsUpdate],
        context: UseContext,
        db: UseConnection,
        audit: UseAudit,
    ) -> Vps:
        return await _update(request, server, data=data, context=context, db=db, audit=audit)

    @put(
        "/{vps_id:uuid}",
        operation_id="replaceVps",
        summary="The same as PATCH: fields that are left out stay as they are",
        opt={ACTION: Action.VPS_UPDATE},
    )
    async def replace(
        self,
        *,
        request: AuthedRequest,
        server: OwnedServer,
        data: JSONBody[VpsUpdate],
        context: UseContext,
        db: UseConnection,
        audit: UseAudit,
    ) -> Vps:
        return await _update(request, server, data=data, context=context, db=db, audit=audit)

    @delete(
        "/{vps_id:uuid}",
        operation_id="deleteVps",
        summary="Remove a server, the access of its agent and its history",
        opt={ACTION: Action.VPS_DELETE},
    )
    async def delete(
        self,
        scope: Scope,
        server: OwnedServer,
        context: UseContext,
        db: UseConnection,
        audit: UseAudit,
    ) -> None:
        await store.delete(db, vps_id=server.id)
        await context.bus.delete(subjects.Bucket.AGENTS, str(server.id))
        after_commit(scope, partial(live_refresh.refresh, context))
        audit.done(object_id(server))

    @post(
        "/{vps_id:uuid}/enrolment",
        operation_id="renewEnrolment",
        summary="Get a new install line; the previous one stops working",
        opt={ACTION: Action.VPS_ENROL},
    )
    async def renew(
        self,
        *,
        request: AuthedRequest,
        server: OwnedServer,
        context: UseContext,
        db: UseConnection,
        audit: UseAudit,
        data: JSONBody[EnrolmentCreate | None] = None,
    ) -> Enrolment:
        powers = None if data is None else data.powers
        renewed = await _enrolment(context, db, server, request.user, powers)
        audit.done(object_id(server))
        return renewed


async def _update(
    request: AuthedRequest,
    server: store.Vps,
    *,
    data: VpsUpdate,
    context: Context,
    db: database.Connection,
    audit: RequestAudit,
) -> Vps:
    config = None if data.agent_config is None else mapping.settings_json(data.agent_config)
    if data.organisation_id not in (None, server.organisation_id):
        await _move(request, server, data.organisation_id, db, audit)
    updated = await store.update(
        db,
        vps_id=server.id,
        name=data.name,
        agent_config=config,
        tags=None if data.tags is None else sorted(set(data.tags)),
    )
    if updated is None:
        raise errors.not_found()
    if config is not None:
        # Pushed before the commit, so a configuration that cannot be pushed is not saved.
        await enrolment.publish_record(context.bus, updated)
    after_commit(request.scope, partial(live_refresh.refresh, context))
    audit.done(object_id(server))
    return _view(context, updated, with_detail=True)


async def _move(
    request: AuthedRequest,
    server: store.Vps,
    organisation_id: UUID,
    db: database.Connection,
    audit: RequestAudit,
) -> None:
    """Move a server to another organisation.

    The actor needs the right to delete it from the present one and to add it to the other one.

    Raises:
        RequestError: 404 or 403, the actor may not.
    """
    access.check_owned(server, request.user, Action.VPS_DELETE, audit)
    access.organisation_for(request.user, organisation_id, audit)
    check_quota(
        "servers",
        await store.count(db, organisation_id=organisation_id),
        SERVERS_OF_ORGANISATION,
        "servers in that organisation.",
    )
    await store.move(db, vps_id=server.id, organisation_id=organisation_id)
    detail = f"{server.organisation_id} to {organisation_id}"
    audit.done(object_id(server), detail, action="vps.move")


async def _enrolment(
    context: Context,
    db: database.Connection,
    server: store.Vps,
    actor: Actor,
    powers: WantedPowers | None,
) -> Enrolment:
    token = new_secret()
    expires_at = await store.put_token(
        db,
        vps_id=server.id,
        token_hash=hash_secret(token),
        lifetime=TOKEN_LIFETIME,
        user_id=actor.id,
    )
    return Enrolment(token, expires_at, install.command(context, token, powers or WantedPowers()))


def _view(context: Context, server: store.Vps, *, with_detail: bool = False) -> Vps:
    state = context.live.servers.get(str(server.id))
    key = context.signer.public_key
    fields = mapping.vps_fields(server, state, command_key=key, with_detail=with_detail)
    return msgspec.convert(fields, Vps)
