"""Routes of the members of an organisation."""

from typing import Any
from uuid import UUID

from litestar import Controller, delete, get, patch
from litestar.di import Provide
from litestar.params import FromPath, JSONBody

from services.gateway.accounts.authentication import AuthedRequest
from services.gateway.api import errors
from services.gateway.api.pagination import Offset, ShortLimit
from services.gateway.api.problem_types import ProblemType
from services.gateway.api.request_audit import RequestAudit, UseAudit
from services.gateway.api.rules import ACTION
from services.gateway.api.transaction import UseConnection
from services.gateway.organisations import store
from services.gateway.organisations.access import (
    OwnOrganisation,
    object_id,
    provide_organisation,
)
from services.gateway.organisations.schemas import Member, MemberPage, MemberUpdate
from services.kit.access import Action, Actor, OrganisationRole, may_grant
from services.kit.database import pool as database

LAST_OWNER = "This is the only owner of the organisation. Make another member an owner first."


class MemberController(Controller):
    path = "/organisations/{organisation_id:uuid}/members"
    tags = ("Organisations",)
    dependencies: Any = {"organisation": Provide(provide_organisation)}  # noqa: RUF012  Litestar's

    @get(
        operation_id="listMembers",
        summary="List members by name",
        opt={ACTION: Action.ORGANISATION_READ},
    )
    async def list(
        self,
        organisation: OwnOrganisation,
        db: UseConnection,
        *,
        limit: ShortLimit = 50,
        offset: Offset = 0,
    ) -> MemberPage:
        found, total = await store.members(
            db, organisation_id=organisation.id, limit=limit, offset=offset
        )
        return MemberPage([_member(one) for one in found], total)

    @patch(
        "/{user_id:uuid}",
        operation_id="updateMember",
        summary="Change the role of a member",
        opt={ACTION: Action.MEMBER_UPDATE},
    )
    async def update(
        self,
        *,
        request: AuthedRequest,
        organisation: OwnOrganisation,
        user_id: FromPath[UUID],
        data: JSONBody[MemberUpdate],
        db: UseConnection,
        audit: UseAudit,
    ) -> Member:
        member = await _changeable(request.user, organisation.id, user_id, db, audit)
        check_grant(request.user, data.role, organisation.id, audit)
        if data.role is not OrganisationRole.OWNER:
            await _require_other_owner(db, organisation.id, user_id)
        await store.put_member(db, organisation_id=organisation.id, user_id=user_id, role=data.role)
        audit.done(object_id(organisation.id), f"{member.username}: {member.role} to {data.role}")
        changed = await store.member(db, organisation_id=organisation.id, user_id=user_id)
        assert changed is not None
        return _member(changed)

    @delete(
        "/{user_id:uuid}",
        operation_id="removeMember",
        summary="Remove a member; every member may leave",
        opt={ACTION: Action.ORGANISATION_READ},
    )
    async def remove(
        self,
        *,
        request: AuthedRequest,
        organisation: OwnOrganisation,
        user_id: FromPath[UUID],
        db: UseConnection,
        audit: UseAudit,
    ) -> None:
        if user_id != request.user.id:
            member = await _changeable(request.user, organisation.id, user_id, db, audit)
        else:
            member = await _found(db, organisation.id, user_id)
        await _require_other_owner(db, organisation.id, user_id)
        await store.remove_member(db, organisation_id=organisation.id, user_id=user_id)
        audit.done(object_id(organisation.id), member.username, action="member.remove")


def check_grant(
    actor: Actor, role: OrganisationRole, organisation_id: UUID, audit: RequestAudit
) -> None:
    """Check that the actor may give or take this role.

    Raises:
        RequestError: 403, the role is above the actor's own.
    """
    if not may_grant(actor, role, organisation_id):
        audit.refused("the role is above the actor's own", object_id=object_id(organisation_id))
        raise errors.forbidden(f"Only a member with the role {role} may give or take that role.")


async def _changeable(
    actor: Actor,
    organisation_id: UUID,
    user_id: UUID,
    db: database.Connection,
    audit: RequestAudit,
) -> store.Member:
    """Return a member that the actor may change.

    Raises:
        RequestError: 404, there is no such member; 403, the member's role is above the actor's own.
    """
    member = await _found(db, organisation_id, user_id)
    check_grant(actor, OrganisationRole(member.role), organisation_id, audit)
    return member


async def _found(db: database.Connection, organisation_id: UUID, user_id: UUID) -> store.Member:
    member = await store.member(db, organisation_id=organisation_id, user_id=user_id)
    if member is None:
        raise errors.not_found()
    return member


async def _require_other_owner(
    db: database.Connection, organisation_id: UUID, user_id: UUID
) -> None:
    if await store.owners(db, organisation_id=organisation_id) == {user_id}:
        raise errors.RequestError(ProblemType.STILL_NEEDED, LAST_OWNER)


def _member(member: store.Member) -> Member:
    return Member(
        user_id=member.user_id,
        username=member.username,
        email=member.email,
        role=OrganisationRole(member.role),
        enabled=member.enabled,
        joined_at=member.joined_at,
    )
