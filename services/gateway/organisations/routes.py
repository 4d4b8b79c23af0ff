"""Routes of organisations and their members."""

from typing import Any

from litestar import Controller, delete, get, patch, post
from litestar.di import Provide
from litestar.params import JSONBody

from services.gateway.accounts import store as account_store
from services.gateway.accounts.authentication import AuthedRequest
from services.gateway.api import errors
from services.gateway.api.pagination import Offset, ShortLimit
from services.gateway.api.problem_types import ProblemType
from services.gateway.api.request_audit import UseAudit
from services.gateway.api.rules import ACTION
from services.gateway.api.transaction import UseConnection
from services.gateway.organisations import store
from services.gateway.organisations.access import (
    OwnOrganisation,
    object_id,
    provide_organisation,
)
from services.gateway.organisations.schemas import (
    Organisation,
    OrganisationPage,
    OrganisationWrite,
)
from services.kit.access import Action, Actor, OrganisationRole, Role


class OrganisationController(Controller):
    path = "/organisations"
    tags = ("Organisations",)
    dependencies: Any = {"organisation": Provide(provide_organisation)}  # noqa: RUF012  Litestar's

    @get(
        operation_id="listOrganisations",
        summary="List your organisations by name; platform administrators list all",
        opt={ACTION: Action.FLEET_READ},
    )
    async def list(
        self,
        request: AuthedRequest,
        db: UseConnection,
        *,
        limit: ShortLimit = 50,
        offset: Offset = 0,
    ) -> OrganisationPage:
        actor = request.user
        own = [organisation_id for organisation_id, _ in actor.memberships]
        found, total = await store.page(
            db,
            ids=None if actor.role is Role.ADMIN else own,
            limit=limit,
            offset=offset,
        )
        return OrganisationPage([_view(one, actor) for one in found], total)

    @post(
        operation_id="createOrganisation",
        summary="Add an organisation that you own",
        opt={ACTION: Action.ORGANISATION_CREATE},
    )
    async def create(
        self,
        request: AuthedRequest,
        data: JSONBody[OrganisationWrite],
        db: UseConnection,
        audit: UseAudit,
    ) -> Organisation:
        actor = request.user
        organisation_id = await account_store.insert_organisation(
            db, name=data.name, owner_id=actor.id
        )
        audit.done(object_id(organisation_id), data.name)
        (made,), _ = await store.page(db, ids=[organisation_id], limit=1, offset=0)
        return _view(made, actor, OrganisationRole.OWNER)

    @get(
        "/{organisation_id:uuid}",
        operation_id="getOrganisation",
        summary="Get one organisation",
        opt={ACTION: Action.ORGANISATION_READ},
    )
    async def get(self, request: AuthedRequest, organisation: OwnOrganisation) -> Organisation:
        return _view(organisation, request.user)

    @patch(
        "/{organisation_id:uuid}",
        operation_id="updateOrganisation",
        summary="Rename an organisation",
        opt={ACTION: Action.ORGANISATION_UPDATE},
    )
    async def update(
        self,
        request: AuthedRequest,
        organisation: OwnOrganisation,
        data: JSONBody[OrganisationWrite],
        db: UseConnection,
        audit: UseAudit,
    ) -> Organisation:
        await store.rename(db, organisation_id=organisation.id, name=data.name)
        audit.done(object_id(organisation.id), f"{organisation.name} to {data.name}")
        (renamed,), _ = await store.page(db, ids=[organisation.id], limit=1, offset=0)
        return _view(renamed, request.user)

    @delete(
        "/{organisation_id:uuid}",
        operation_id="deleteOrganisation",
        summary="Delete an organisation that has no servers",
        opt={ACTION: Action.ORGANISATION_DELETE},
    )
    async def delete(
        self, organisation: OwnOrganisation, db: UseConnection, audit: UseAudit
    ) -> None:
        if organisation.servers:
            raise errors.RequestError(
                ProblemType.STILL_NEEDED,
                f"The organisation has {organisation.servers} servers. Delete them or move them first.",
            )
        await store.delete(db, organisation_id=organisation.id)
        audit.done(object_id(organisation.id), organisation.name)


def _view(
    organisation: store.Organisation, actor: Actor, role: OrganisationRole | None = None
) -> Organisation:
    return Organisation(
        id=organisation.id,
        name=organisation.name,
        created_at=organisation.created_at,
        role=role or actor.role_in(organisation.id),
        members=organisation.members,
        servers=organisation.servers,
    )
