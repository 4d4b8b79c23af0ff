"""Request and response bodies of organisations, their members and invitations."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct

from services.gateway.accounts.schemas import Email, NewPassword, Username
from services.gateway.api.validation_messages import ONE_LINE
from services.kit.access import OrganisationRole

Name = Annotated[str, Meta(min_length=1, max_length=100, pattern=ONE_LINE)]


class Organisation(Struct):
    id: UUID
    name: str
    created_at: datetime
    role: Annotated[
        OrganisationRole | None,
        Meta(description="Your role; null for platform administrators who are not members"),
    ]
    members: int
    servers: int


class OrganisationPage(Struct):
    items: list[Organisation]
    total: int


class OrganisationWrite(Struct, forbid_unknown_fields=True):
    name: Name


class Member(Struct):
    user_id: UUID
    username: str
    email: str | None
    role: OrganisationRole
    enabled: bool
    joined_at: datetime


class MemberPage(Struct):
    items: list[Member]
    total: int


class MemberUpdate(Struct, forbid_unknown_fields=True):
    role: OrganisationRole


class Invitation(Struct):
    id: UUID
    organisation_id: UUID
    email: str
    role: OrganisationRole
    invited_by: str
    created_at: datetime
    expires_at: datetime


class InvitationPage(Struct):
    items: list[Invitation]
    total: int


class InvitationCreate(Struct, forbid_unknown_fields=True):
    email: Email
    role: OrganisationRole
    organisation_id: Annotated[
        UUID | None,
        Meta(description="May be left out by users who may invite to one organisation only"),
    ] = None


class NewInvitation(Invitation):
    token: Annotated[str, Meta(description="Shown this once")]
    url: Annotated[str, Meta(description="Page of the console to register with the token")]


class Registration(Struct, forbid_unknown_fields=True):
    token: Annotated[str, Meta(min_length=1, max_length=100, pattern=r"^[!-~]+(?!\n)$")]
    username: Username
    password: NewPassword
    email: Annotated[
        Email | None, Meta(description="If given, it must be the address that was invited")
    ] = None
