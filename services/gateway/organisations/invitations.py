"""Routes to invite people to an organisation, and to register with an invitation."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from litestar import Controller, delete, get, post
from litestar.params import FromPath, JSONBody

from services.gateway.accounts import login
from services.gateway.accounts import store as account_store
from services.gateway.accounts.authentication import AuthedRequest
from services.gateway.accounts.passwords import hash_in_turn
from services.gateway.accounts.routes import account_of
from services.gateway.accounts.schemas import Account
from services.gateway.accounts.tokens import hash_secret, new_secret
from services.gateway.api import errors
from services.gateway.api.limits import check_quota
from services.gateway.api.pagination import Offset, ShortLimit
from services.gateway.api.problem_types import ProblemType
from services.gateway.api.request_audit import RequestAudit, UseAudit
from services.gateway.api.rules import ACTION, PUBLIC
from services.gateway.api.transaction import UseConnection
from services.gateway.context import UseContext
from services.gateway.organisations import invitation_store, store
from services.gateway.organisations.access import check, object_id
from services.gateway.organisations.members import check_grant
from services.gateway.organisations.schemas import (
    Invitation,
    InvitationCreate,
    InvitationPage,
    NewInvitation,
    Registration,
)
from services.kit.access import (
    Action,
    Actor,
    Kind,
    Object,
    OrganisationRole,
    Role,
    allow,
    granters_of,
)
from services.kit.bus.audit import ANONYMOUS
from services.kit.database import pool as database

LIFETIME = timedelta(days=7)
INVITATIONS_OF_ORGANISATION = 200
PATH = "/register"  # page of the console; the token is in the fragment, which is not sent
_GRANTERS = {role.value: [one.value for one in granters_of(role)] for role in OrganisationRole}


class InvitationController(Controller):
    path = "/invitations"
    tags = ("Organisations",)

    @get(
        operation_id="listInvitations",
        summary="List open invitations to the organisations that you administer",
        opt={ACTION: Action.FLEET_READ},
    )
    async def list(
        self,
        request: AuthedRequest,
        db: UseConnection,
        *,
        limit: ShortLimit = 50,
        offset: Offset = 0,
    ) -> InvitationPage:
        found, total = await invitation_store.page(
            db, organisation_ids=administered(request.user), limit=limit, offset=offset
        )
        return InvitationPage([Invitation(**_fields(one)) for one in found], total)

    @post(
        operation_id="createInvitation",
        summary="Invite an address to an organisation",
        opt={ACTION: Action.MEMBER_UPDATE},
    )
    async def create(
        self,
        *,
        request: AuthedRequest,
        data: JSONBody[InvitationCreate],
        context: UseContext,
        db: UseConnection,
        audit: UseAudit,
    ) -> NewInvitation:
        """Send the `url` to the person. It is valid for a week and works once.

        A new invitation of the same address replaces the earlier one.
        """
        organisation_id = _organisation_for(request.user, data.organisation_id)
        check(request.user, Action.MEMBER_UPDATE, organisation_id, audit)
        check_grant(request.user, data.role, organisation_id, audit)
        _, open_ones = await invitation_store.page(
            db, organisation_ids=[organisation_id], limit=1, offset=0
        )
        check_quota(
            "invitations", open_ones, INVITATIONS_OF_ORGANISATION, "open invitations. Withdraw one."
        )
        token = new_secret()
        made = await invitation_store.insert(
            db,
            organisation_id=organisation_id,
            email=data.email,
            role=data.role,
            token_hash=hash_secret(token),
            invited_by=request.user.id,
            lifetime=LIFETIME,
        )
        audit.done(
            object_id(organisation_id), f"{data.email} as {data.role}", action="invitation.create"
        )
        url = f"{context.settings.public_url.rstrip('/')}{PATH}#{token}"
        return NewInvitation(**_fields(made), token=token, url=url)

    @delete(
        "/{invitation_id:uuid}",
        operation_id="deleteInvitation",
        summary="Withdraw an invitation",
        opt={ACTION: Action.MEMBER_UPDATE},
    )
    async def delete(
        self,
        request: AuthedRequest,
        invitation_id: FromPath[UUID],
        db: UseConnection,
        audit: UseAudit,
    ) -> None:
        found = await invitation_store.get(db, invitation_id=invitation_id)
        if found is None:
            raise errors.not_found()
        check(request.user, Action.MEMBER_UPDATE, found.organisation_id, audit)
        await invitation_store.delete(db, invitation_id=invitation_id)
        audit.done(object_id(found.organisation_id), found.email, action="invitation.delete")


@post(
    "/auth/register",
    operation_id="register",
    summary="Register with an invitation",
    tags=["Session"],
    opt={PUBLIC: True},
)
async def register(
    data: JSONBody[Registration],
    context: UseContext,
    audit: UseAudit,
) -> Account:
    """Make the account of the address that was invited, as a member of the organisation."""
    return await _register(context.pool, audit, data)


async def _register(pool: database.Pool, audit: RequestAudit, data: Registration) -> Account:
    # No transaction stays open while the password is hashed.
    await login.count_registration(pool, audit)
    token_hash = hash_secret(data.token)
    async with database.transaction(pool) as connection:
        exists = await invitation_store.exists(connection, token_hash=token_hash)
    # Hashing takes long, so it is done only for invitations that exist.
    password_hash = await hash_in_turn(data.password) if exists else ""
    async with database.transaction(pool) as connection:
        invitation = await invitation_store.take(connection, token_hash=token_hash, roles=_GRANTERS)
        if (
            invitation is None
            or not password_hash
            or (data.email is not None and data.email.lower() != invitation.email.lower())
        ):
            audit.record(
                "", action="user.register", actor=ANONYMOUS, allowed=False, reason="no invitation"
            )
            raise errors.RequestError(
                ProblemType.INVALID_INVITATION,
                "This invitation does not exist, has expired, was already used, or is for another"
                " address. Ask for a new one.",
            )
        user_id = await account_store.insert_user(
            connection,
            username=data.username,
            password_hash=password_hash,
            role=Role.MEMBER,
            email=invitation.email,
        )
        if user_id is None:
            raise errors.RequestError(
                ProblemType.ALREADY_EXISTS,
                f"There is already a user `{data.username}`. Choose another name.",
                fields=("username",),
            )
        role = OrganisationRole(invitation.role)
        await store.put_member(
            connection, organisation_id=invitation.organisation_id, user_id=user_id, role=role
        )
        user = await account_store.user_by_name(connection, username=data.username)
        detail = f"{data.username} as {role}"
        await audit.begin(f"user:{user_id}", detail, action="user.register")
    assert user is not None
    return account_of(user)


def administered(actor: Actor) -> list[UUID]:
    """Return the organisations whose members the actor may invite and change."""
    return [
        organisation_id
        for organisation_id, _ in actor.memberships
        if allow(
            actor,
            Action.MEMBER_UPDATE,
            Object(Kind.ORGANISATION, organisation=organisation_id),
        )
    ]


def _organisation_for(actor: Actor, asked: UUID | None) -> UUID:
    if asked is not None:
        return asked
    possible = administered(actor)
    if not possible:
        raise errors.forbidden("You administer no organisation, so you cannot invite anybody.")
    if len(possible) > 1:
        raise errors.invalid(
            "You administer several organisations. Name one in `organisation_id`.",
            "organisation_id",
        )
    return possible[0]


def _fields(invitation: invitation_store.Invitation) -> dict[str, Any]:
    return {
        "id": invitation.id,
        "organisation_id": invitation.organisation_id,
        "email": invitation.email,
        "role": OrganisationRole(invitation.role),
        "invited_by": invitation.invited_by,
        "created_at": invitation.created_at,
        "expires_at": invitation.expires_at,
    }
