"""Routes to see and end login sessions, and to change the password."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from litestar import Controller, delete, get, put
from litestar.params import FromPath, JSONBody
from litestar.status_codes import HTTP_204_NO_CONTENT
from msgspec import Meta, Struct

from services.gateway.accounts import session_store, store
from services.gateway.accounts.authentication import AuthedRequest
from services.gateway.accounts.login import check_password
from services.gateway.accounts.passwords import hash_in_turn
from services.gateway.accounts.schemas import NewPassword
from services.gateway.api import errors
from services.gateway.api.request_audit import RequestAudit, UseAudit
from services.gateway.api.rules import ACTION
from services.gateway.api.transaction import UseConnection
from services.gateway.context import UseContext
from services.kit.access import Action, Actor
from services.kit.database import pool as database


class LoginSession(Struct):
    id: UUID
    user_agent: Annotated[str, Meta(description="The browser or program, as it names itself")]
    address: Annotated[str, Meta(description="Address of the newest request that renewed it")]
    created_at: datetime
    used_at: datetime
    expires_at: datetime
    is_current: Annotated[bool, Meta(description="True for the session of this request")]


class LoginSessionList(Struct):
    items: list[LoginSession]
    total: int


class PasswordChange(Struct, forbid_unknown_fields=True):
    current: Annotated[str, Meta(min_length=1, max_length=1024)]
    new: NewPassword


class LoginSessionController(Controller):
    path = "/sessions"
    tags = ("Session",)

    @get(
        operation_id="listSessions",
        summary="List your login sessions, the newest first",
        opt={ACTION: Action.ACCOUNT_READ},
    )
    async def list(self, request: AuthedRequest, db: UseConnection) -> LoginSessionList:
        found = await session_store.of_user(db, user_id=request.user.id)
        items = [
            LoginSession(
                id=one.id,
                user_agent=one.user_agent,
                address=one.address,
                created_at=one.created_at,
                used_at=one.used_at,
                expires_at=one.expires_at,
                is_current=one.id == request.user.session_id,
            )
            for one in found
        ]
        return LoginSessionList(items, len(items))

    @delete(
        operation_id="deleteOtherSessions",
        summary="End all your login sessions but this one",
        opt={ACTION: Action.ACCOUNT_UPDATE},
    )
    async def delete_others(
        self, request: AuthedRequest, db: UseConnection, audit: UseAudit
    ) -> None:
        """Everything that is open in these sessions closes within seconds."""
        actor = request.user
        ended = await session_store.delete(db, user_id=actor.id, keep=actor.session_id)
        audit.done(f"user:{actor.id}", f"{ended} others", action="session.end")

    @delete(
        "/{session_id:uuid}",
        operation_id="deleteSession",
        summary="End one of your login sessions",
        opt={ACTION: Action.ACCOUNT_UPDATE},
    )
    async def delete(
        self,
        request: AuthedRequest,
        session_id: FromPath[UUID],
        db: UseConnection,
        audit: UseAudit,
    ) -> None:
        if not await session_store.delete(db, user_id=request.user.id, session_id=session_id):
            raise errors.not_found()
        audit.done(f"user:{request.user.id}", str(session_id), action="session.end")


@put(
    "/auth/password",
    operation_id="changePassword",
    summary="Change your password",
    tags=["Session"],
    status_code=HTTP_204_NO_CONTENT,
    opt={ACTION: Action.ACCOUNT_UPDATE},
)
async def change_password(
    request: AuthedRequest, data: JSONBody[PasswordChange], context: UseContext, audit: UseAudit
) -> None:
    """End all other login sessions of the user. Wrong current passwords count as failed log-ins."""
    await _change_password(context.pool, audit, request.user, data)


async def _change_password(
    pool: database.Pool, audit: RequestAudit, actor: Actor, data: PasswordChange
) -> None:
    # No transaction stays open while passwords are hashed.
    await check_password(pool, audit, username=actor.username, password=data.current)
    if data.new == data.current:
        raise errors.invalid("The new password is the current one. Choose another.", "new")
    password_hash = await hash_in_turn(data.new)
    async with database.transaction(pool) as connection:
        await store.set_password(connection, user_id=actor.id, password_hash=password_hash)
        await session_store.delete(connection, user_id=actor.id, keep=actor.session_id)
        await audit.begin(f"user:{actor.id}", action="password.change")
