"""Routes to share a server with a user who need not be a member of its organisation."""

from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Literal
from uuid import UUID

from litestar import Controller, delete, get, post
from litestar.params import FromPath, JSONBody
from litestar.types import Scope
from msgspec import Meta, Struct

from services.gateway.accounts.schemas import Username
from services.gateway.api import errors
from services.gateway.api.limits import check_quota
from services.gateway.api.request_audit import UseAudit
from services.gateway.api.rules import ACTION
from services.gateway.api.transaction import UseConnection, after_commit
from services.gateway.context import UseContext
from services.gateway.servers import live_refresh, share_store
from services.gateway.servers.access import IN_TRANSACTION, LOCKED, OwnedServer, object_id
from services.kit.access import Action, OrganisationRole

SHARES_OF_SERVER = 100
Level = Literal["operator", "viewer"]


class Share(Struct):
    user_id: UUID
    username: str
    level: Level
    created_at: datetime
    expires_at: Annotated[datetime | None, Meta(description="Null for no end")]


class ShareList(Struct):
    items: list[Share]
    total: int


class ShareCreate(Struct, forbid_unknown_fields=True):
    username: Username
    level: Level
    expires_at: Annotated[datetime, Meta(tz=True)] | None = None


class ShareController(Controller):
    path = "/vps/{vps_id:uuid}/shares"
    tags = ("Servers",)
    dependencies = IN_TRANSACTION

    @get(
        operation_id="listShares",
        summary="List the users with whom the server is shared",
        opt={ACTION: Action.VPS_SHARE},
    )
    async def list(self, server: OwnedServer, db: UseConnection) -> ShareList:
        found = await share_store.of_server(db, vps_id=server.id)
        items = [_view(one) for one in found]
        return ShareList(items, len(items))

    @post(
        operation_id="shareServer",
        summary="Share the server with a user, or change the share",
        opt={ACTION: Action.VPS_SHARE},
        dependencies=LOCKED,
    )
    async def create(
        self,
        *,
        scope: Scope,
        server: OwnedServer,
        data: JSONBody[ShareCreate],
        context: UseContext,
        db: UseConnection,
        audit: UseAudit,
    ) -> Share:
        """An operator may act on the server; a viewer may look at it."""
        if data.expires_at is not None and data.expires_at <= datetime.now(UTC):
            raise errors.invalid("The end is in the past. Give a later time.", "expires_at")
        shares = await share_store.of_server(db, vps_id=server.id)
        used = len([one for one in shares if one.username != data.username])
        check_quota("shares", used, SHARES_OF_SERVER, "shares of this server. End one.")
        user_id = await share_store.put(
            db,
            vps_id=server.id,
            username=data.username,
            level=OrganisationRole(data.level),
            expires_at=data.expires_at,
        )
        if user_id is None:
            raise errors.invalid(f"There is no user `{data.username}`.", "username")
        after_commit(scope, partial(live_refresh.refresh, context))
        audit.done(object_id(server), f"{data.username} as {data.level}")
        shares = await share_store.of_server(db, vps_id=server.id)
        return next(_view(one) for one in shares if one.user_id == user_id)

    @delete(
        "/{user_id:uuid}",
        operation_id="endShare",
        summary="End a share; what the user has open closes within seconds",
        opt={ACTION: Action.VPS_SHARE},
    )
    async def delete(
        self,
        *,
        scope: Scope,
        server: OwnedServer,
        user_id: FromPath[UUID],
        context: UseContext,
        db: UseConnection,
        audit: UseAudit,
    ) -> None:
        if not await share_store.delete(db, vps_id=server.id, user_id=user_id):
            raise errors.not_found()
        after_commit(scope, partial(live_refresh.refresh, context))
        audit.done(object_id(server), str(user_id), action="vps.unshare")


def _view(share: share_store.Share) -> Share:
    return Share(
        user_id=share.user_id,
        username=share.username,
        level="operator" if share.level == "operator" else "viewer",
        created_at=share.created_at,
        expires_at=share.expires_at,
    )
