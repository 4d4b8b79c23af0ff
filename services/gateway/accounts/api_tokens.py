"""Routes of API tokens, with which programs act for their user."""

from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

from litestar import Controller, delete, get, post
from litestar.params import FromPath, JSONBody
from msgspec import Meta, Struct

from services.gateway.accounts import actor_store, token_store
from services.gateway.accounts.authentication import API_TOKEN_PREFIX, AuthedRequest
from services.gateway.accounts.tokens import hash_secret, new_secret
from services.gateway.api import errors
from services.gateway.api.limits import check_quota
from services.gateway.api.request_audit import UseAudit
from services.gateway.api.rules import ACTION
from services.gateway.api.transaction import UseConnection
from services.gateway.api.validation_messages import ONE_LINE, ONE_WORD
from services.kit.access import Action, Scope, allow

TOKENS_OF_USER = 100
MAX_LIMITS = 1_000  # servers or tags of one token


class ApiToken(Struct):
    id: UUID
    name: str
    scopes: list[Scope]
    server_ids: Annotated[
        list[UUID] | None, Meta(description="Servers that the token is limited to; null for none")
    ]
    tags: Annotated[
        list[str] | None, Meta(description="The token also reaches servers with these tags")
    ]
    created_at: datetime
    expires_at: datetime
    used_at: Annotated[datetime | None, Meta(description="Last use, to the minute")]


class NewApiToken(ApiToken):
    token: Annotated[str, Meta(description="Shown this once")]


class ApiTokenList(Struct):
    items: list[ApiToken]
    total: int


class ApiTokenCreate(Struct, forbid_unknown_fields=True):
    name: Annotated[str, Meta(min_length=1, max_length=100, pattern=ONE_LINE)]
    scopes: Annotated[list[Scope], Meta(min_length=1, max_length=len(Scope))]
    server_ids: Annotated[list[UUID], Meta(min_length=1, max_length=MAX_LIMITS)] | None = None
    tags: (
        Annotated[
            list[Annotated[str, Meta(min_length=1, max_length=40, pattern=ONE_WORD)]],
            Meta(min_length=1, max_length=MAX_LIMITS),
        ]
        | None
    ) = None
    expires_in_days: Annotated[int, Meta(ge=1, le=3650)] = 90


class ApiTokenController(Controller):
    path = "/tokens"
    tags = ("Session",)

    @get(
        operation_id="listTokens",
        summary="List your API tokens, the newest first",
        opt={ACTION: Action.ACCOUNT_READ},
    )
    async def list(self, request: AuthedRequest, db: UseConnection) -> ApiTokenList:
        found = await token_store.of_user(db, user_id=request.user.id)
        return ApiTokenList([_view(one) for one in found], len(found))

    @post(
        operation_id="createToken",
        summary="Create an API token",
        opt={ACTION: Action.ACCOUNT_UPDATE},
    )
    async def create(
        self,
        request: AuthedRequest,
        data: JSONBody[ApiTokenCreate],
        db: UseConnection,
        audit: UseAudit,
    ) -> NewApiToken:
        """The token may do what its scopes say, where you may do it too.

        With `server_ids` or `tags`, it reaches only the servers with one of these ids or tags.
        Send it as `Authorization: Bearer`.
        """
        actor = request.user
        used = len(await token_store.of_user(db, user_id=actor.id))
        check_quota("tokens", used, TOKENS_OF_USER, "API tokens. Delete one that you do not need.")
        if data.server_ids is not None:
            found = await actor_store.servers(db, vps_ids=data.server_ids)
            for index, vps_id in enumerate(data.server_ids):
                if vps_id not in found or not allow(actor, Action.VPS_READ, found[vps_id]):
                    audit.refused("no right to a server", object_id=f"vps:{vps_id}")
                    raise errors.invalid(
                        f"You have no server with the id {vps_id}.", f"server_ids[{index}]"
                    )
        token = API_TOKEN_PREFIX + new_secret()
        made = await token_store.insert(
            db,
            user_id=actor.id,
            name=data.name,
            secret_hash=hash_secret(token),
            scopes=sorted(set(data.scopes)),
            server_ids=data.server_ids,
            tags=data.tags,
            lifetime=timedelta(days=data.expires_in_days),
        )
        audit.done(
            f"token:{made.id}", f"{made.name}: {', '.join(made.scopes)}", action="token.create"
        )
        view = _view(made)
        return NewApiToken(
            **{name: getattr(view, name) for name in view.__struct_fields__}, token=token
        )

    @delete(
        "/{token_id:uuid}",
        operation_id="deleteToken",
        summary="Delete an API token; what it has open closes within seconds",
        opt={ACTION: Action.ACCOUNT_UPDATE},
    )
    async def delete(
        self,
        request: AuthedRequest,
        token_id: FromPath[UUID],
        db: UseConnection,
        audit: UseAudit,
    ) -> None:
        name = await token_store.delete(db, user_id=request.user.id, token_id=token_id)
        if name is None:
            raise errors.not_found()
        audit.done(f"token:{token_id}", name, action="token.delete")


def _view(token: token_store.ApiToken) -> ApiToken:
    return ApiToken(
        id=token.id,
        name=token.name,
        scopes=[Scope(scope) for scope in token.scopes],
        server_ids=token.server_ids,
        tags=token.tags,
        created_at=token.created_at,
        expires_at=token.expires_at,
        used_at=token.used_at,
    )
