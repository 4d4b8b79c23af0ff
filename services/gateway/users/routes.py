"""Routes for platform administrators to list, add, change and delete users."""

from typing import Annotated
from uuid import UUID

from litestar import Controller, delete, get, patch, post
from litestar.params import FromPath, JSONBody, Parameter

from services.gateway.accounts import store as account_store
from services.gateway.accounts.passwords import hash_in_turn
from services.gateway.api import errors
from services.gateway.api.pagination import Offset, ShortLimit
from services.gateway.api.problem_types import ProblemType
from services.gateway.api.request_audit import UseAudit
from services.gateway.api.rules import ACTION
from services.gateway.api.transaction import UseConnection
from services.gateway.users import store
from services.gateway.users.schemas import User, UserCreate, UserPage, UserUpdate
from services.kit.access import Action, Role
from services.kit.database import pool as database

LAST_ADMINISTRATOR = (
    "This is the only administrator that is enabled. Make another user an administrator first."
)


class UserController(Controller):
    path = "/users"
    tags = ("Users",)

    @get(operation_id="listUsers", summary="List users by name", opt={ACTION: Action.USER_READ})
    async def list(
        self,
        db: UseConnection,
        *,
        search: Annotated[
            str,
            Parameter(
                max_length=100,
                pattern=r"^[^\x00]*$",
                description="Part of the name or of the address",
            ),
        ] = "",
        limit: ShortLimit = 50,
        offset: Offset = 0,
    ) -> UserPage:
        users, total = await store.page(db, search=search, limit=limit, offset=offset)
        return UserPage([_view(user) for user in users], total)

    @post(
        operation_id="createUser",
        summary="Add a user with an organisation of its own",
        opt={ACTION: Action.USER_UPDATE},
    )
    async def create(self, data: JSONBody[UserCreate], db: UseConnection, audit: UseAudit) -> User:
        """To add somebody to an organisation that exists, invite them: `POST /invitations`."""
        user_id = await account_store.insert_user(
            db,
            username=data.username,
            password_hash=await hash_in_turn(data.password),
            role=data.role,
            email=data.email or "",
        )
        if user_id is None:
            raise errors.RequestError(
                ProblemType.ALREADY_EXISTS,
                f"There is already a user `{data.username}`. Choose another name.",
                fields=("username",),
            )
        await account_store.insert_organisation(db, name=data.username, owner_id=user_id)
        audit.done(f"user:{user_id}", f"{data.username} as {data.role}", action="user.create")
        return _view(await _found(db, user_id))

    @patch(
        "/{user_id:uuid}",
        operation_id="updateUser",
        summary="Enable or disable a user, or change the role",
        opt={ACTION: Action.USER_UPDATE},
    )
    async def update(
        self,
        user_id: FromPath[UUID],
        data: JSONBody[UserUpdate],
        db: UseConnection,
        audit: UseAudit,
    ) -> User:
        """End the login sessions of the user, and what is open in them, if something changes."""
        administrators = await store.lock_administrators(db)
        user = await _found(db, user_id)
        enabled = None if data.enabled in (None, user.enabled) else data.enabled
        role = None if data.role in (None, Role(user.role)) else data.role
        if (enabled is False or role is Role.MEMBER) and administrators == {user_id}:
            raise errors.RequestError(ProblemType.STILL_NEEDED, LAST_ADMINISTRATOR)
        if enabled is None and role is None:
            return _view(user)
        await store.update(db, user_id=user_id, enabled=enabled, role=role)
        changes = [
            *([] if enabled is None else ["enabled" if enabled else "disabled"]),
            *([] if role is None else [f"role {role}"]),
        ]
        audit.done(f"user:{user_id}", f"{user.username}: {', '.join(changes)}")
        return _view(await _found(db, user_id))

    @delete(
        "/{user_id:uuid}",
        operation_id="deleteUser",
        summary="Delete a user; servers, runs and recordings stay",
        opt={ACTION: Action.USER_UPDATE},
    )
    async def delete(self, user_id: FromPath[UUID], db: UseConnection, audit: UseAudit) -> None:
        administrators = await store.lock_administrators(db)
        user = await _found(db, user_id)
        if administrators == {user_id}:
            raise errors.RequestError(ProblemType.STILL_NEEDED, LAST_ADMINISTRATOR)
        if owned := await store.sole_ownerships(db, user_id=user_id):
            names = ", ".join(f"`{name}`" for name in owned[:5])
            raise errors.RequestError(
                ProblemType.STILL_NEEDED,
                f"{user.username} is the only owner of {names}, which has servers. Make another"
                " member an owner, or delete the servers first.",
            )
        await store.delete(db, user_id=user_id)
        audit.done(f"user:{user_id}", user.username, action="user.delete")


async def _found(db: database.Connection, user_id: UUID) -> store.User:
    user = await store.get(db, user_id=user_id)
    if user is None:
        raise errors.not_found()
    return user


def _view(user: store.User) -> User:
    return User(
        id=user.id,
        username=user.username,
        email=user.email,
        role=Role(user.role),
        enabled=user.enabled,
        created_at=user.created_at,
        last_login_at=user.last_login_at,
        organisations=user.organisations,
    )
